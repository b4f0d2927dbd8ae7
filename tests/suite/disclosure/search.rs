//! The search for canaries: texts that must not be anywhere, in any of the forms that a program may give them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use regex::bytes::Regex;
use rocksdb::{
    BottommostLevelCompaction, ColumnFamilyDescriptor, CompactOptions, DB, DBCompressionType,
    IteratorMode, Options,
};

/// What is looked for.
pub struct Search {
    needles: Vec<Needle>,
    any: Regex,
}

/// One canary in one form.
struct Needle {
    canary: String,
    form: String,
    bytes: Vec<u8>,
}

/// Canaries with the forms in which they were found.
pub type Found = BTreeSet<(String, String)>;

/// Returns a text that occurs nowhere else, with characters that JSON writes as escapes.
pub fn canary(name: &str) -> String {
    format!("canary>>{name}<<\"q\\b\u{e9}~/?7f3k")
}

/// Returns the forms of a text: as it is, escaped in JSON, in base64 wherever it begins, in hexadecimal.
pub fn forms(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![("raw".to_owned(), text.as_bytes().to_vec())];
    let json = serde_json::to_string(text).unwrap();
    forms.push(("json".to_owned(), json[1..json.len() - 1].into()));
    for (name, upper) in [("escaped", false), ("ESCAPED", true)] {
        let escape = |unit: u16| match upper {
            true => format!("\\u{unit:04X}"),
            false => format!("\\u{unit:04x}"),
        };
        forms.push((name.to_owned(), text.encode_utf16().map(escape).collect::<String>().into()));
    }
    let digits = |byte: &u8| format!("{byte:02x}");
    let hex: String = text.as_bytes().iter().map(digits).collect();
    forms.push(("hex".to_owned(), hex.clone().into()));
    forms.push(("HEX".to_owned(), hex.to_uppercase().into()));
    for skipped in 0..3 {
        let shifted = [&vec![0; skipped], text.as_bytes()].concat();
        // Characters that depend on what stands before or behind are left out.
        let (from, to) = ((skipped * 8).div_ceil(6), shifted.len() * 8 / 6);
        for (name, alphabet) in [("base64", STANDARD_NO_PAD), ("base64url", URL_SAFE_NO_PAD)] {
            let encoded = alphabet.encode(&shifted).into_bytes();
            forms.push((format!("{name}+{skipped}"), encoded[from..to].to_vec()));
        }
    }
    forms
}

impl Search {
    /// Looks for texts in all their forms.
    pub fn new<'t>(canaries: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let needles = canaries.into_iter().flat_map(|(canary, text)| {
            forms(text).into_iter().map(move |(form, bytes)| Needle {
                canary: canary.to_owned(),
                form,
                bytes,
            })
        });
        let needles: Vec<Needle> = needles.collect();
        // One pass over the bytes says whether there is anything to look at more closely.
        let byte = |byte: &u8| format!("\\x{byte:02x}");
        let one = |needle: &Needle| needle.bytes.iter().map(byte).collect::<String>();
        let pattern = needles.iter().map(one).collect::<Vec<_>>().join("|");
        let any = Regex::new(&format!("(?-u){pattern}")).unwrap();
        Self { needles, any }
    }

    /// Returns what stands in some bytes.
    pub fn bytes(&self, bytes: &[u8]) -> Found {
        if !self.any.is_match(bytes) {
            return Found::new();
        }
        let is_there = |needle: &&Needle| {
            let pattern: String =
                needle.bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            Regex::new(&format!("(?-u){pattern}")).unwrap().is_match(bytes)
        };
        let found = self.needles.iter().filter(is_there);
        found.map(|needle| (needle.canary.clone(), needle.form.clone())).collect()
    }

    /// Returns what stands in the files below a directory, or in their names.
    pub fn files(&self, dir: &Path) -> Found {
        let mut found = Found::new();
        for path in walk(dir) {
            found.extend(self.bytes(path.to_string_lossy().as_bytes()));
            // A socket can't be read.
            if let Ok(bytes) = fs::read(&path) {
                found.extend(self.bytes(&bytes));
            }
        }
        found
    }

    /// Returns what stands in the rows of the databases below a directory, read through RocksDB.
    pub fn rows(&self, dir: &Path) -> Found {
        let mut found = Found::new();
        for database in databases(dir) {
            let db = open_all(&database, |options| {
                DB::open_cf_descriptors_read_only(&Options::default(), &database, options, false)
            });
            for family in DB::list_cf(&Options::default(), &database).unwrap() {
                let handle = db.cf_handle(&family).unwrap();
                for row in db.iterator_cf(handle, IteratorMode::Start) {
                    let (key, row) = row.unwrap();
                    // Joined, so that what is cut between key and row is found as well.
                    found.extend(self.bytes(&[key, row].concat()));
                }
            }
        }
        found
    }
}

/// Writes the tables of the databases below a directory anew, compressed or not.
pub fn compact(dir: &Path, compression: DBCompressionType) {
    for database in databases(dir) {
        let db = open_all(&database, |families| {
            let families = families.into_iter().map(|family| {
                let mut options = Options::default();
                options.set_compression_type(compression);
                options.set_bottommost_compression_type(compression);
                ColumnFamilyDescriptor::new(family.name(), options)
            });
            DB::open_cf_descriptors(&Options::default(), &database, families)
        });
        let mut all = CompactOptions::default();
        all.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for family in DB::list_cf(&Options::default(), &database).unwrap() {
            let handle = db.cf_handle(&family).unwrap();
            db.flush_cf(handle).unwrap();
            db.compact_range_cf_opt(handle, None::<&[u8]>, None::<&[u8]>, &all);
        }
    }
}

/// Opens a database with all its families.
fn open_all(
    database: &Path,
    open: impl FnOnce(Vec<ColumnFamilyDescriptor>) -> Result<DB, rocksdb::Error>,
) -> DB {
    let families = DB::list_cf(&Options::default(), database).unwrap();
    let families =
        families.into_iter().map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    open(families.collect()).unwrap()
}

/// Returns the databases below a directory.
fn databases(dir: &Path) -> Vec<PathBuf> {
    let current = walk(dir).into_iter().filter(|path| path.ends_with("CURRENT"));
    current.map(|path| path.parent().unwrap().to_owned()).collect()
}

/// Returns the files below a directory.
pub fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(walk(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

/// Copies a directory with all below it, as a crash leaves it.
pub fn copy_all(from: &Path, to: &Path) {
    for file in walk(from) {
        let dest = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(dest.parent().unwrap()).unwrap();
        // A socket is nothing to copy, and a file that was just replaced is in its successor.
        if file.extension().is_none_or(|ending| ending != "sock") {
            let _replaced = fs::copy(&file, &dest);
        }
    }
}
