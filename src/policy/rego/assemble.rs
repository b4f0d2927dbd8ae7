//! From the files of a bundle to an engine that has them.

use core::num::{NonZeroU32, NonZeroUsize};

use regorus::unstable::Source;
use regorus::{Engine, PolicyLengthConfig, Value};

use super::data::{self, Roots};
use super::{lint, meter, place};
use crate::core::policy::Bundle;
use crate::policy::{Diagnostic, Severity};

/// Most bytes of one module.
pub(super) const MODULE_BYTES_MAX: usize = 256 * 1_024;

/// Most lines of one module.
const MODULE_LINES_MAX: usize = 8_000;

/// Most characters of a line.
const LINE_CHARACTERS_MAX: u32 = 1_024;

/// An engine with the modules and documents of a bundle.
pub(super) struct Assembled {
    pub(super) engine: Engine,
}

/// Whether the tests of a bundle are taken as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    Policy,
    PolicyAndTests,
}

/// Makes an engine of a bundle; `None` if it has no modules. Refuses whatever can be refused before an event is there.
pub(super) fn assemble(bundle: &Bundle, take: Take) -> Result<Option<Assembled>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let modules = modules(bundle, take, &mut found);
    if modules.is_empty() {
        return if found.is_empty() { Ok(None) } else { Err(found) };
    }
    let mut engine = Engine::new();
    engine.set_policy_length_config(length_limits());
    // What a rule prints would otherwise stand in the server's own output.
    engine.set_gather_prints(true);
    meter::install(&mut engine);
    for source in modules {
        let file = source.file().clone();
        let added = engine.add_policy(file.clone(), source.contents().clone());
        if let Err(error) = added {
            found.push(place::of_message(&file, "rego/syntax", &format!("{error:#}")));
        }
    }
    found.extend(lint::check(engine.get_modules()));
    add_data(bundle, &mut engine, &mut found);
    if found.is_empty()
        && let Err(error) = engine.eval_query("true".to_owned(), false)
    {
        // The engine analyses its modules before the first query, and this one needs nothing of them.
        found.push(place::of_message("", "rego/compile", &format!("{error:#}")));
    }
    if found.is_empty() { Ok(Some(Assembled { engine })) } else { Err(found) }
}

fn length_limits() -> PolicyLengthConfig {
    PolicyLengthConfig {
        max_col: NonZeroU32::new(LINE_CHARACTERS_MAX).expect("a line may have characters"),
        max_file_bytes: NonZeroUsize::new(MODULE_BYTES_MAX).expect("a module may have bytes"),
        max_lines: NonZeroUsize::new(MODULE_LINES_MAX).expect("a module may have lines"),
    }
}

/// Returns whether a file is a module, by its name, which is written in lower case as everywhere in OPA.
pub(in crate::policy) fn is_module(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "rego")
}

/// Returns whether a file is a test, by its name or its folder.
pub(super) fn is_test(path: &str) -> bool {
    path.ends_with("_test.rego") || (path.starts_with("tests/") && is_module(path))
}

/// Reads the modules; tells of those that can't even be given to the parser.
fn modules(bundle: &Bundle, take: Take, found: &mut Vec<Diagnostic>) -> Vec<Source> {
    let mut sources = Vec::new();
    for (path, content) in bundle.files() {
        let is_taken = if is_test(path) {
            take == Take::PolicyAndTests && (data::is_own(path) || path.starts_with("tests/"))
        } else {
            is_module(path) && data::is_own(path)
        };
        if !is_taken {
            continue;
        }
        let whole = |message: String| Diagnostic {
            severity: Severity::Error,
            code: "rego/module",
            message,
            help: None,
            file: path.clone(),
            line: 0,
            column: 0,
            length: 0,
        };
        let Ok(text) = str::from_utf8(content) else {
            found.push(whole("this is not UTF-8".to_owned()));
            continue;
        };
        let limits = length_limits();
        let source = Source::from_contents_with_limits(
            path.clone(),
            text.to_owned(),
            limits.max_file_bytes,
            limits.max_lines,
        );
        match source {
            Ok(source) => {
                let refused = lint::tokens(&source);
                if refused.is_empty() {
                    sources.push(source);
                }
                found.extend(refused);
            }
            Err(error) => found.push(whole(format!("{error}: split it"))),
        }
    }
    sources
}

/// Adds the documents, and checks that everything lies below the bundle's roots.
fn add_data(bundle: &Bundle, engine: &mut Engine, found: &mut Vec<Diagnostic>) {
    let roots = Roots::load(bundle, found);
    for module in engine.get_modules() {
        let names = lint::package(module);
        if !roots.hold(&names) {
            let message = format!("the package {} is outside of the roots", names.join("."));
            let help = Some("add its root to 'roots' in .manifest, or rename it".to_owned());
            let span = &module.package.span;
            found.push(Diagnostic { help, ..place::at(span, "rego/roots", message) });
        }
    }
    let packages: Vec<Vec<String>> =
        engine.get_modules().iter().map(|module| lint::package(module)).collect();
    for document in data::load(bundle, found) {
        let data::DataFile { file, names, value } = document;
        let whole = |message: String| Diagnostic {
            severity: Severity::Error,
            code: "rego/data",
            message,
            help: None,
            file: file.clone(),
            line: 0,
            column: 0,
            length: 0,
        };
        if !roots.hold_all(&names, &value) {
            found.push(whole("this defines data outside of the roots in .manifest".to_owned()));
        }
        let nested = data::nest(&names, value);
        if let Some(package) = packages.iter().find(|package| is_defined(&nested, package)) {
            let package = package.join(".");
            found.push(whole(format!("this gives data a value where the package {package} is")));
        } else if engine.add_data(nested).is_err() {
            found.push(whole("another document gives another value to the same place".to_owned()));
        }
    }
}

/// Returns whether a document has a value that is no object at or above a package, or anything right in it.
fn is_defined(document: &Value, package: &[String]) -> bool {
    let mut place = document;
    for name in package {
        let Ok(object) = place.as_object() else { return true };
        let Some(inner) = object.get(&Value::from(name.as_str())) else { return false };
        place = inner;
    }
    // A package may have documents deeper inside, as OPA allows it.
    place.as_object().is_err()
}
