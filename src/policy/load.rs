//! From the files of a bundle to one document.
//!
//! ```text
//! policy.yaml, *.yaml, *.yml, *.json    documents, in the order of their paths; one file may hold several
//! env/NAME.yaml                         an overlay; a bundle that has one alone is the bundle of that environment
//! parents/NAME/...                      the files of a policy that is extended
//! rego/, tests/, data.json, data.yaml, .manifest    not documents
//! ```

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Document, Parent, Place};
use super::finding::{Findings, diagnostic};
use super::flatten::unflatten;
use super::kubernetes;
use super::node::{Node, Span};
use super::read::API_VERSION;
use super::rego::is_module;
use super::tighten::weakenings;
use crate::core::policy::{Bundle, BundleError};

/// Folders whose files are no documents.
const OTHER_FOLDERS: [&str; 4] = ["rego/", "tests/", "env/", "parents/"];

/// Most policies that extend one another.
const PARENTS_MAX: usize = 4;

/// Reads the documents of a bundle with what they extend; returns warnings beside.
pub fn read(bundle: &Bundle) -> Result<(Document, Vec<Diagnostic>), Vec<Diagnostic>> {
    read_at(bundle, 0)
}

/// Reads a bundle that so many others extend.
fn read_at(bundle: &Bundle, depth: usize) -> Result<(Document, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (document, found) = read_onto(bundle, Document::default())?;
    let parent = match document.extends.as_slice() {
        [] => return Ok((document, found)),
        [parent] => parent,
        [_, second, ..] => {
            let message = "a policy extends one other at most".to_owned();
            let help = Some("let one parent extend the other".to_owned());
            let place = &second.place;
            return Err(vec![diagnostic(Severity::Error, place, "policy/parent", message, help)]);
        }
    };
    let inherited = inherit(bundle, parent, depth).map_err(|one| vec![one])?;
    let base = Document { extends: Vec::new(), name: String::new(), ..inherited };
    let (document, found) = read_onto(bundle, base.clone())?;
    let folder = format!("parents/{}/", parent.name);
    let is_custom = bundle.files().keys().any(|path| path.starts_with(&folder) && is_module(path));
    let weaker = weakenings(&base, &document, is_custom);
    if weaker.is_empty() {
        Ok((document, found))
    } else {
        Err(found.into_iter().chain(weaker).collect())
    }
}

/// Reads the parent that stands in a bundle.
fn inherit(bundle: &Bundle, parent: &Parent, depth: usize) -> Result<Document, Diagnostic> {
    let fail = |message: String, help: &str| {
        let help = Some(help.to_owned());
        diagnostic(Severity::Error, &parent.place, "policy/parent", message, help)
    };
    if depth >= PARENTS_MAX {
        let message = format!("more than {PARENTS_MAX} policies extend one another");
        return Err(fail(message, "extend what the last of them says directly"));
    }
    let folder = format!("parents/{}/", parent.name);
    let files = below(bundle, &folder).map_err(|_none| {
        fail(format!("there are no files in '{folder}'"), "copy the files of the parent there")
    })?;
    let digest = files.digest();
    if digest != parent.digest {
        let hex = digest.as_bytes().iter().fold(String::new(), |hex, byte| {
            let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap_or_default();
            hex + &String::from_iter([digit(byte >> 4), digit(byte & 0xF)])
        });
        let message = format!("the files in '{folder}' are another policy");
        let help = format!("their digest is sha256:{hex}: name that if it is what you mean");
        return Err(fail(message, &help));
    }
    match read_at(&files, depth + 1) {
        Ok((mut document, _)) => {
            relocate(&mut document, &folder);
            Ok(document)
        }
        Err(found) => {
            let first = found.iter().find(|one| one.severity == Severity::Error);
            let first = first.map_or_else(String::new, ToString::to_string);
            Err(fail(format!("the policy in '{folder}' has faults: {first}"), "mend it there"))
        }
    }
}

/// Returns the files of a bundle in a folder, as a bundle of their own.
pub(super) fn below(bundle: &Bundle, folder: &str) -> Result<Bundle, BundleError> {
    Bundle::new(bundle.files().iter().filter_map(|(path, content)| {
        Some((path.strip_prefix(folder)?.to_owned(), content.clone()))
    }))
}

/// Says where what a document states stands, seen from a bundle that has its files in a folder.
fn relocate(document: &mut Document, folder: &str) {
    let mut places: Vec<&mut Place> = vec![&mut document.metadata];
    places.extend(document.classes.iter_mut().map(|one| &mut one.place));
    places.extend(document.rules.iter_mut().map(|one| &mut one.place));
    places.extend(document.redactions.iter_mut().map(|one| &mut one.place));
    places.extend(document.suppressions.iter_mut().map(|one| &mut one.place));
    places.extend(document.holds.iter_mut().map(|one| &mut one.place));
    places.extend(document.access.iter_mut().map(|one| &mut one.place));
    places.extend(document.alerts.iter_mut().map(|one| &mut one.place));
    places.extend(document.sources.iter_mut().map(|one| &mut one.place));
    places.extend(document.rego.iter_mut().map(|one| &mut one.place));
    for place in places.into_iter().filter(|place| !place.file.is_empty()) {
        place.file.insert_str(0, folder);
    }
}

/// Reads the documents of a bundle on top of what they extend.
fn read_onto(
    bundle: &Bundle,
    mut document: Document,
) -> Result<(Document, Vec<Diagnostic>), Vec<Diagnostic>> {
    let extends = document != Document::default();
    let mut found = Vec::new();
    let mut count = 0;
    let overlays: Vec<&String> = bundle.files().keys().filter(|path| is_overlay(path)).collect();
    let documents = bundle.files().keys().filter(|path| is_document(path));
    let overlay = match overlays.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    for path in documents.chain(overlay) {
        let content = bundle.files().get(path).map_or(&[][..], Vec::as_slice);
        let mut findings = Findings::new(path.clone());
        findings.patches = extends || is_overlay(path);
        count += findings.file(content, &mut document);
        found.extend(findings.into_found());
    }
    if count == 0 && found.is_empty() {
        let place = Place { file: "policy.yaml".to_owned(), ..Place::default() };
        let message = "the bundle has no document".to_owned();
        let help = Some(format!("write 'apiVersion: {API_VERSION}' and 'kind: Policy'"));
        found.push(diagnostic(Severity::Error, &place, "policy/no-document", message, help));
    }
    if found.iter().any(|finding| finding.severity == Severity::Error) {
        Err(found)
    } else {
        Ok((document, found))
    }
}

/// Returns the bundle of one environment: the files without the overlays of others.
pub fn environment(bundle: &Bundle, name: &str) -> Result<Bundle, BundleError> {
    let own = |path: &str| {
        !is_overlay(path)
            || path
                .strip_prefix("env/")
                .and_then(|file| file.rsplit_once('.'))
                .is_some_and(|(environment, _)| environment == name)
    };
    let files = bundle.files().iter().filter(|(path, _)| own(path));
    Bundle::new(files.map(|(path, content)| (path.clone(), content.clone())))
}

/// Returns the names of the environments that a bundle has overlays for.
pub fn environments(bundle: &Bundle) -> Vec<&str> {
    let overlays = bundle.files().keys().filter(|path| is_overlay(path));
    overlays.filter_map(|path| Some(path.strip_prefix("env/")?.rsplit_once('.')?.0)).collect()
}

fn has_form(path: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end))
}

fn is_overlay(path: &str) -> bool {
    has_form(path) && path.starts_with("env/")
}

fn is_document(path: &str) -> bool {
    let data =
        path.rsplit('/').next().is_some_and(|name| matches!(name, "data.json" | "data.yaml"));
    has_form(path) && !data && !OTHER_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

impl Findings {
    /// Reads a file; returns how many documents it has.
    fn file(&mut self, content: &[u8], into: &mut Document) -> usize {
        let text = match str::from_utf8(content) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let before = content.get(..error.valid_up_to()).unwrap_or_default();
                let before = str::from_utf8(before).unwrap_or_default();
                let line = before.split('\n').count();
                let column = 1 + before.chars().rev().take_while(|one| *one != '\n').count();
                let span = Span { line, column, length: 0 };
                let help = "save the file as UTF-8".to_owned();
                self.error(span, "policy/utf-8", "the file is not UTF-8", help);
                return 0;
            }
        };
        let indented = unflatten(text);
        if let Some(indented) = &indented {
            let span = self.move_lines(text, indented);
            let message = "P001: flattened indentation, read as the form that it was";
            let help = "'attestree policy fmt' writes it as it should be".to_owned();
            self.warning(span, "policy/flattened", message, help);
        }
        match Node::read(indented.as_deref().unwrap_or(text)) {
            Ok(nodes) => {
                nodes.iter().for_each(|node| self.document(node, into));
                nodes.len()
            }
            Err(error) => {
                self.error(error.span, "policy/syntax", error.message, None);
                0
            }
        }
    }

    /// Takes one document, whatever its form.
    fn document(&mut self, node: &Node, into: &mut Document) {
        if node.get("audit_configs").is_some() {
            return self.audit_configs(node, into);
        }
        if node.get("logging_policy").is_some() {
            return self.logging_policy(node, into);
        }
        let text = |name| node.get(name).and_then(Node::as_str);
        match (text("apiVersion"), text("kind")) {
            (Some(API_VERSION), Some("Policy")) => self.policy(node, into),
            (Some(kubernetes::API_VERSION), Some("Policy")) => self.kubernetes(node, into),
            _ => {
                let help = format!(
                    "write 'apiVersion: {API_VERSION}' and 'kind: Policy'; '{}', 'audit_configs:' and \
                     'logging_policy:' are taken as well",
                    kubernetes::API_VERSION
                );
                let span = node.get("apiVersion").map_or(node.span, |node| node.span);
                self.error(span, "policy/kind", "this is no policy of a known form", help);
            }
        }
    }
}
