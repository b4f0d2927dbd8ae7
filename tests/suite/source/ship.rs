//! What `attestree ship` sends, as the server reads it.

use attestree::source::ship::items;

use super::golden;

#[test]
fn golden_files_hold() {
    assert_eq!(golden::compare_all("ship", |came| items(came, 64).unwrap()), 3);
}

#[test]
fn more_lines_than_may_come_are_none() {
    let body = bytes::Bytes::from_static(b"one\n\n \ntwo\r\nthree");
    assert_eq!(items(&body, 3).map(|items| items.len()), Some(3));
    assert_eq!(items(&body, 2), None);
}
