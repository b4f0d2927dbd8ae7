//! What decoders make of kept inputs, one item a line.

use std::fs;
use std::path::{Path, PathBuf};

use attestree::core::record::json::{Object, Value};
use attestree::core::record::{FormFault, SUBMISSION_LIMITS, Submission};
use attestree::source::Item;
use bytes::Bytes;

use crate::vector;

/// Returns the folder of a protocol.
pub fn folder(protocol: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/source").join(protocol)
}

/// Reads an input.
pub fn input(protocol: &str, file: &str) -> Vec<u8> {
    fs::read(folder(protocol).join(file)).unwrap()
}

/// Compares what was made of the input of this name with what is kept.
pub fn compare(protocol: &str, name: &str, items: &[Item]) {
    check(items);
    let lines: String = items.iter().map(|item| line(item) + "\n").collect();
    vector::compare(&folder(protocol).join(format!("{name}.out.json")), lines.as_bytes());
}

/// Compares what a decoder makes of each `NAME.in.*` of a protocol; returns how many there are.
pub fn compare_all(protocol: &str, decode: impl Fn(&Bytes) -> Vec<Item>) -> usize {
    let files = fs::read_dir(folder(protocol)).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let inputs: Vec<String> = files.filter(|name| name.contains(".in.")).collect();
    for file in &inputs {
        let (name, _) = file.split_once(".in.").unwrap();
        compare(protocol, name, &decode(&input(protocol, file).into()));
    }
    inputs.len()
}

/// Checks what holds of all items: an event is one that can be recorded, unless it has names that only the
/// server makes, and nothing is empty or too long.
pub fn check(items: &[Item]) {
    for item in items {
        assert!((1..=SUBMISSION_LIMITS.bytes).contains(&item.bytes.len()));
        assert!(item.key.as_ref().is_none_or(|key| (1..=256).contains(&key.len())), "{item:?}");
        if item.is_event {
            let faults = Submission::parse(&item.bytes).unwrap().event().map(drop);
            let is_content = |fault: &FormFault| matches!(fault, FormFault::Content(_));
            assert!(faults.is_ok() || faults.unwrap_err().iter().all(is_content), "{item:?}");
        }
    }
}

/// Writes an item: an event as it is submitted, anything else as text with escapes.
fn line(item: &Item) -> String {
    let escaped = |bytes: &[u8]| Value::from(bytes.escape_ascii().to_string());
    let key = item.key.as_deref().map_or(Value::Null, escaped);
    let Item { bytes, is_event, occurred, .. } = item;
    let occurred = occurred.map_or(Value::Null, |time| time.to_string().into());
    let content = if *is_event {
        ("event", attestree::core::record::json::parse(bytes, &SUBMISSION_LIMITS).unwrap())
    } else {
        ("unparsed", escaped(bytes))
    };
    Value::from(Object::from([("key", key), ("occurred", occurred), content])).format()
}
