//! What `attestree ship` sends, as the server reads it.

use attestree::source::ship::items;

use super::golden;

#[test]
fn golden_files_hold() {
    assert_eq!(golden::compare_all("ship", items), 3);
}
