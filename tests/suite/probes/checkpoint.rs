//! Texts of checkpoints, right and wrong.

use attestree::core::{checkpoint::CheckpointText, hash::TreeHash};
use serde_json::json;

use super::{Probe, check};
use crate::published::{CHECKPOINT_ROOT, CHECKPOINT_TEXT};

fn lines_and_origin() -> Vec<Probe> {
    let lines =
        |count: usize| format!("the text of a checkpoint has three lines, this one has {count}");
    let good = |name, desc, text: String| Probe::good(name, desc, json!({ "text": text }));
    let bad = |name, desc, text: String, error: &str| {
        Probe::bad(name, desc, json!({ "text": text }), error)
    };
    let sized = |size: &str| format!("example.com/log\n{size}\n{CHECKPOINT_ROOT}\n");
    let rooted = |root: &str| format!("example.com/log\n5\n{root}\n");
    vec![
        good("good", "the end-to-end vector", CHECKPOINT_TEXT.to_owned()),
        good("good-largest", "the largest size", sized("4611686018427387904")),
        good("good-empty", "an empty tree", format!("a.example\n0\n{}\n", TreeHash::empty_root())),
        bad("empty", "nothing at all", String::new(), &lines(0)),
        bad("two-lines", "no root", "example.com/log\n5\n".to_owned(), &lines(2)),
        bad(
            "extension",
            "an extension line",
            rooted(&format!("{CHECKPOINT_ROOT}\nextension")),
            &lines(4),
        ),
        bad(
            "empty-line",
            "an empty line at the end",
            rooted(&format!("{CHECKPOINT_ROOT}\n")),
            &lines(4),
        ),
        bad(
            "unterminated",
            "no final line feed",
            rooted(CHECKPOINT_ROOT).trim_end().to_owned(),
            "the note does not end with a line feed",
        ),
        bad(
            "origin-empty",
            "an empty first line",
            format!("\n5\n{CHECKPOINT_ROOT}\n"),
            "the first line of the checkpoint is no origin: an origin has 1 to 255 bytes, this one has 0",
        ),
        bad(
            "origin-schema",
            "a URL for an origin",
            format!("https://example.com/log\n5\n{CHECKPOINT_ROOT}\n"),
            "the first line of the checkpoint is no origin: leave out everything up to \"://\": an \
             origin begins with the host name",
        ),
    ]
}

fn size_and_root() -> Vec<Probe> {
    let size = "the second line of the checkpoint is no tree size: it must be a decimal up to 2^62 \
                without leading zeros";
    let root = "the third line of the checkpoint is no root: it must be the base64 of 32 bytes";
    let bad = |name, desc, text: String, error: &str| {
        Probe::bad(name, desc, json!({ "text": text }), error)
    };
    let sized = |size: &str| format!("example.com/log\n{size}\n{CHECKPOINT_ROOT}\n");
    let rooted = |root: &str| format!("example.com/log\n5\n{root}\n");
    vec![
        bad("size-empty", "an empty second line", sized(""), size),
        bad("size-leading-zero", "a leading zero", sized("05"), size),
        bad("size-plus", "a sign", sized("+5"), size),
        bad("size-minus", "a negative size", sized("-1"), size),
        bad("size-space", "a space after the size", sized("5 "), size),
        bad("size-hexadecimal", "hexadecimal digits", sized("0x5"), size),
        bad("size-other-digits", "digits of another script", sized("\u{665}"), size),
        bad("size-too-large", "one more than the largest", sized("4611686018427387905"), size),
        bad("size-beyond-64-bits", "a number of 65 bits", sized("18446744073709551616"), size),
        bad("root-empty", "an empty third line", rooted(""), root),
        bad(
            "root-no-padding",
            "padding left out",
            rooted(CHECKPOINT_ROOT.trim_end_matches('=')),
            root,
        ),
        bad(
            "root-trailing-bits",
            "unused bits that are not zero",
            rooted(&CHECKPOINT_ROOT.replace("E=", "F=")),
            root,
        ),
        bad(
            "root-too-short",
            "31 bytes",
            rooted("NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWww=="),
            root,
        ),
        bad(
            "root-too-long",
            "33 bytes",
            rooted("NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwEA"),
            root,
        ),
        bad("root-hexadecimal", "hexadecimal digits", rooted(&"34".repeat(32)), root),
        bad("root-space", "a space before the root", rooted(&format!(" {CHECKPOINT_ROOT}")), root),
        bad(
            "empty-tree-with-root",
            "size 0 with the root of another tree",
            sized("0"),
            "the checkpoint gives an empty tree a root other than that of the empty tree",
        ),
    ]
}

pub(super) fn probes() -> Vec<Probe> {
    [lines_and_origin(), size_and_root()].into_iter().flatten().collect()
}

#[test]
fn probes_of_checkpoints_get_their_answers() {
    check("checkpoint", &probes(), |probe| {
        CheckpointText::parse(probe.text("text")).err().map(|error| error.to_string())
    });
}
