//! Golden files of a decoder: what came, and the events that were made of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use attestree::source::Item;
use bytes::Bytes;

use crate::vector;

/// Writes an item as one line: what it is, its key, and its bytes.
pub(crate) fn line(item: &Item) -> String {
    let kind = if item.is_event { "event" } else { "unparsed" };
    let key =
        item.key.as_ref().map_or_else(|| "-".to_owned(), |key| key.escape_ascii().to_string());
    let bytes = match item.is_event {
        true => String::from_utf8(item.bytes.to_vec()).unwrap(),
        false => item.bytes.escape_ascii().to_string(),
    };
    format!("{kind}\t{key}\t{bytes}\n")
}

/// Compares what a decoder makes of each `NAME.in.*` of a protocol with `NAME.out.json`; returns how many there
/// are.
pub(crate) fn compare(protocol: &str, decode: impl Fn(&Bytes) -> Vec<Item>) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/source").join(protocol);
    let mut inputs: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| path.to_str().unwrap().contains(".in."));
    inputs.sort();
    for input in &inputs {
        let came = Bytes::from(fs::read(input).unwrap());
        let made: String = decode(&came).iter().map(line).collect();
        let name = input.file_name().unwrap().to_str().unwrap();
        let (name, _) = name.split_once(".in.").unwrap();
        vector::compare(&folder.join(format!("{name}.out.json")), made.as_bytes());
    }
    inputs.len()
}
