//! The documents beside the modules, in the layout of OPA's bundles.
//!
//! ```text
//! .manifest               {"roots": ["attestree", "limits"]}: what the bundle may define; everything without it
//! data.json               what is below `data`
//! limits/data.yaml        what is below `data.limits`
//! ```

use regorus::Value;

use super::value;
use crate::core::policy::{Bundle, FILE_BYTES_MAX};
use crate::core::record::json::{self, Limits};
use crate::policy::{Diagnostic, Severity};

/// What a document may ask of its reader: that of one file, and no deeper than events are.
const DATA_LIMITS: Limits = Limits { bytes: FILE_BYTES_MAX, depth: 32, values: 65_536 };

/// Folders of a bundle that are not its own policy: tests, environments and vendored parents.
const OTHER_FOLDERS: [&str; 3] = ["tests/", "env/", "parents/"];

/// A document and what it is below, without `data` itself.
pub(super) struct DataFile {
    pub(super) file: String,
    pub(super) names: Vec<String>,
    pub(super) value: Value,
}

/// The places that a bundle may define: names below `data`.
pub(super) struct Roots(Vec<Vec<String>>);

/// Returns whether a file is of the policy itself.
pub(super) fn is_own(path: &str) -> bool {
    !OTHER_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Reads every document of a bundle; what can't be read is told.
pub(super) fn load(bundle: &Bundle, found: &mut Vec<Diagnostic>) -> Vec<DataFile> {
    let mut files = Vec::new();
    for (path, content) in bundle.files() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parsed = match name {
            "data.json" if is_own(path) => parse_json(path, content),
            "data.yaml" | "data.yml" if is_own(path) => parse_yaml(path, content),
            _ => continue,
        };
        let names = folder.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        match parsed {
            Ok(value) if value.as_object().is_ok() => {
                files.push(DataFile { file: path.clone(), names, value });
            }
            Ok(_) => found.push(whole(path, "a data document is an object".to_owned())),
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    files
}

impl Roots {
    /// Reads the manifest, if there is one.
    pub(super) fn load(bundle: &Bundle, found: &mut Vec<Diagnostic>) -> Self {
        let all = Self(vec![Vec::new()]);
        let Some(content) = bundle.files().get(".manifest") else { return all };
        let manifest = match parse_json(".manifest", content) {
            Ok(manifest) => manifest,
            Err(diagnostic) => {
                found.push(diagnostic);
                return all;
            }
        };
        let Some(roots) = manifest.as_object().ok().and_then(|it| it.get(&"roots".into())) else {
            return all;
        };
        let texts: Option<Vec<String>> = roots.as_array().ok().and_then(|roots| {
            roots.iter().map(|root| Some(root.as_string().ok()?.to_string())).collect()
        });
        let Some(texts) = texts else {
            found.push(whole(".manifest", "'roots' is an array of texts".to_owned()));
            return all;
        };
        let names = |text: &String| {
            text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        Self(texts.iter().map(names).collect())
    }

    /// Returns whether a bundle may define something here.
    pub(super) fn hold(&self, names: &[String]) -> bool {
        self.0.iter().any(|root| names.starts_with(root))
    }

    /// Returns whether everything that a document defines is inside.
    pub(super) fn hold_all(&self, names: &[String], value: &Value) -> bool {
        if self.hold(names) {
            return true;
        }
        let Ok(object) = value.as_object() else { return false };
        // As roots lie deeper, the document has to be looked into.
        self.0.iter().any(|root| root.starts_with(names))
            && object.iter().all(|(name, inner)| {
                let mut deeper = names.to_vec();
                deeper.extend(name.as_string().ok().map(ToString::to_string));
                deeper.len() > names.len() && self.hold_all(&deeper, inner)
            })
    }
}

fn parse_json(path: &str, content: &[u8]) -> Result<Value, Diagnostic> {
    json::parse(content, &DATA_LIMITS).map(|value| value::of_json(&value)).map_err(|error| {
        Diagnostic {
            line: error.line,
            column: error.column,
            length: 1,
            ..whole(path, error.fault.to_string())
        }
    })
}

/// Reads YAML, with the reader's limits on aliases and depth.
fn parse_yaml(path: &str, content: &[u8]) -> Result<Value, Diagnostic> {
    let text = str::from_utf8(content).map_err(|_| whole(path, "this is not UTF-8".to_owned()))?;
    let value: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location();
        let number = |number: u64| usize::try_from(number).unwrap_or(0);
        Diagnostic {
            line: place.map_or(0, |place| number(place.line())),
            column: place.map_or(0, |place| number(place.column())),
            length: 1,
            ..whole(path, error.to_string())
        }
    })?;
    Ok(Value::from(value))
}

/// Returns a finding about a whole file.
fn whole(path: &str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "rego/data",
        message,
        help: None,
        file: path.to_owned(),
        line: 0,
        column: 0,
        length: 0,
    }
}

/// Returns a document below its names.
pub(super) fn nest(names: &[String], value: Value) -> Value {
    names.iter().rev().fold(value, |inner, name| {
        Value::from(std::collections::BTreeMap::from([(Value::from(name.as_str()), inner)]))
    })
}
