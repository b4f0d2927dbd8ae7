//! What is refused of a module before anything is evaluated.
//!
//! - Functions whose value is not the same for everyone: a verdict has to come out alike wherever it is
//!   replayed.
//! - Functions that the engine does not have, and calls with the wrong number of arguments. In Rego these would
//!   be errors of the compiler; this engine would find them when an event comes.
//! - Rules that depend on themselves, and chains of rules longer than [`CHAIN_MAX`]: the evaluation of
//!   each stands on the stack of the one that needs it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regorus::unstable::{BUILTINS, Expr, Lexer, Module, Ref, Source, Span, TokenKind};

use super::assemble::is_test;
use super::place::at;
use super::walk::{self, Reference, Visitor};
use crate::policy::Diagnostic;

/// Most rules that depend on one another in a row: what they need of a stack stays below 1 MiB, half of
/// what threads have, which `tests/suite/policy/rego_hostile.rs` shows.
pub(super) const CHAIN_MAX: usize = 32;

/// Most brackets inside of one another. The parser reads what is in brackets once for each thing that it could be,
/// a comprehension, an object or a set, so that each level takes three times as long as the one inside of it.
const NESTING_MAX: usize = 12;

/// Functions that are not the same for everyone, and what to use instead.
const REFUSED: [(&str, &str); 6] = [
    (
        "time.now_ns",
        "use input.ot, when the event occurred; when the log took it is not known to rules, because who \
         replays a verdict has only what the record shows",
    ),
    ("rand.intn", "choose by something in the event, or by data of the bundle"),
    ("uuid.rfc4122", "name things by something in the event: each record gets an id of its own"),
    ("http.send", "put what is asked for into data.json of the bundle"),
    ("opa.runtime", "put what is asked for into data.json of the bundle"),
    ("net.lookup_ip_addr", "compare addresses with net.cidr_contains and networks in data.json"),
];

/// The full name of a rule: that of its package, then its own, without `data`.
type Name = Vec<String>;

/// Finds what would take the parser for ever; to be asked before it.
pub(super) fn tokens(source: &Source) -> Vec<Diagnostic> {
    let mut lexer = Lexer::new(source);
    let mut found = Vec::new();
    let mut depth: usize = 0;
    // What the lexer can't read the parser will tell.
    while let Ok(token) = lexer.next_token() {
        match (&token.0, token.1.text()) {
            (TokenKind::Eof, _) => break,
            (TokenKind::Symbol, "[" | "{" | "(") => {
                depth += 1;
                if depth == NESTING_MAX + 1 {
                    let message = format!("this is nested more than {NESTING_MAX} levels deep");
                    let help = Some("give the inner parts names of their own".to_owned());
                    found.push(Diagnostic { help, ..at(&token.1, "rego/nesting", message) });
                }
            }
            (TokenKind::Symbol, "]" | "}" | ")") => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

/// Checks modules that were parsed, all of a bundle together.
pub(super) fn check(modules: &[Ref<Module>]) -> Vec<Diagnostic> {
    let scopes: Vec<Scope> = modules.iter().map(|module| Scope::new(module, modules)).collect();
    let mut functions: HashMap<Name, usize> = HashMap::new();
    for (module, scope) in modules.iter().zip(&scopes) {
        for rule in &module.policy {
            if let Some(arguments) = walk::arguments(rule) {
                functions.insert(scope.name(rule), arguments.len());
            }
        }
    }
    let mut found = Vec::new();
    let mut graph = Graph::default();
    for (module, scope) in modules.iter().zip(&scopes) {
        for rule in &module.policy {
            let mut seen = Seen::default();
            walk::rule(rule, &mut seen);
            for call in &seen.calls {
                found.extend(call.check(scope, &functions));
            }
            found.extend(seen.refused());
            if !is_test(module.package.span.source.file()) {
                found.extend(seen.prints());
            }
            let span = walk::head(rule).span().clone();
            graph.add(scope.name(rule), span, &seen, scope);
        }
    }
    found.extend(graph.check());
    found
}

/// What the names of a module stand for.
struct Scope {
    package: Name,
    imports: HashMap<String, Name>,
    /// First names of the package's rules.
    rules: BTreeSet<String>,
}

impl Scope {
    /// Takes the names of a module among those of its bundle.
    fn new(module: &Module, modules: &[Ref<Module>]) -> Self {
        let package = package(module);
        let mut imports = HashMap::new();
        for import in &module.imports {
            let Some(reference) = walk::reference(&import.refr) else { continue };
            let last = reference.names.last().cloned().unwrap_or_default();
            let alias = import.r#as.as_ref().map_or(last, |span| span.text().to_owned());
            imports.insert(alias, reference.names);
        }
        let rules = modules
            .iter()
            .filter(|other| self::package(other) == package)
            .flat_map(|other| &other.policy)
            .filter_map(|rule| walk::reference(walk::head(rule))?.names.into_iter().next())
            .collect();
        Self { package, imports, rules }
    }

    /// Returns the full name of a rule of this module.
    fn name(&self, rule: &regorus::unstable::Rule) -> Name {
        let own = walk::reference(walk::head(rule)).map(|head| head.names).unwrap_or_default();
        [self.package.clone(), own].concat()
    }

    /// Returns what a reference means below `data`; `None` if it is about something else.
    fn resolve(&self, names: &[String]) -> Option<Name> {
        let (first, rest) = names.split_first()?;
        if first == "data" {
            return Some(rest.to_vec());
        }
        if let Some(import) = self.imports.get(first) {
            let (root, inner) = import.split_first()?;
            return (root == "data").then(|| [inner, rest].concat());
        }
        self.rules.contains(first).then(|| [&self.package, names].concat())
    }
}

/// Returns the names of a module's package.
pub(super) fn package(module: &Module) -> Name {
    walk::reference(&module.package.refr).map(|package| package.names).unwrap_or_default()
}

/// A call as it is written.
struct Call {
    names: Vec<String>,
    arguments: usize,
    span: Span,
}

impl Call {
    /// Finds what is wrong with it: there is no such function, or it takes other arguments.
    fn check(&self, scope: &Scope, functions: &HashMap<Name, usize>) -> Option<Diagnostic> {
        let name = self.names.join(".");
        let own = scope.resolve(&self.names).and_then(|name| functions.get(&name).copied());
        let builtin = || BUILTINS.get(name.as_str()).map(|(_, count)| usize::from(*count));
        let is_refused = REFUSED.iter().any(|(refused, _)| *refused == name);
        if own.is_none() && (name == "print" || is_refused) {
            return None;
        }
        let Some(wanted) = own.or_else(builtin) else {
            let message = format!("there is no function {name}");
            let help = "the engine has OPA's functions but for walk, crypto.*, io.jwt.*, graph.*, http.*, \
                        uuid.* and json.patch";
            return Some(Diagnostic {
                help: Some(help.to_owned()),
                ..at(&self.span, "rego/function", message)
            });
        };
        // One more takes the value, as in `count(x, n)`.
        let right = self.arguments == wanted || (own.is_none() && self.arguments == wanted + 1);
        (!right).then(|| {
            let message = format!("{name} takes {wanted} arguments, not {}", self.arguments);
            at(&self.span, "rego/arguments", message)
        })
    }
}

/// What a rule is made of.
#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    references: Vec<(Vec<String>, Span)>,
    locals: BTreeSet<String>,
}

impl Visitor for Seen {
    fn expression(&mut self, expression: &Expr) {
        if let Expr::Call { fcn, params, .. } = expression
            && let Some(Reference { names, span }) = walk::reference(fcn)
        {
            self.calls.push(Call { names, arguments: params.len(), span });
        }
        if let Some(Reference { names, span }) = walk::reference(expression) {
            self.references.push((names, span));
        }
    }

    fn local(&mut self, name: &str) {
        self.locals.insert(name.to_owned());
    }
}

impl Seen {
    /// Finds what prints: what is printed is written out at once, however long it is, and nobody reads it.
    fn prints(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        let prints = self.references.iter().filter(|(names, _)| *names == ["print"]);
        prints.map(|(_, span)| {
            let help = Some("print in tests: they show it where they fail".to_owned());
            let message = "rules of a policy print nothing".to_owned();
            Diagnostic { help, ..at(span, "rego/print", message) }
        })
    }

    /// Finds what is refused by its name, called or passed on by `with`.
    fn refused(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        self.references.iter().filter_map(|(names, span)| {
            let name = names.join(".");
            let (_, help) = REFUSED.iter().find(|(refused, _)| *refused == name)?;
            let message = format!("{name} is not the same for everyone who replays a verdict");
            let help = Some((*help).to_owned());
            Some(Diagnostic { help, ..at(span, "rego/nondeterministic", message) })
        })
    }
}

/// Which rules need which.
#[derive(Default)]
struct Graph {
    nodes: BTreeMap<Name, Node>,
}

/// A rule, or several of one name.
struct Node {
    span: Span,
    /// Beginnings of names below `data`: any rule at, above or below them may be needed.
    needs: BTreeSet<Name>,
}

/// How far the search has come with a rule.
#[derive(Clone, Copy)]
enum Mark {
    Open,
    /// The length of the longest chain that begins here.
    Done(usize),
}

impl Graph {
    fn add(&mut self, name: Name, span: Span, seen: &Seen, scope: &Scope) {
        let node = self.nodes.entry(name).or_insert(Node { span, needs: BTreeSet::new() });
        let is_local =
            |names: &[String]| names.first().is_some_and(|first| seen.locals.contains(first));
        let values = seen.references.iter().map(|(names, _)| names);
        // A variable can't be called, so that the name of what is called is never a local one.
        let called = seen.calls.iter().map(|call| &call.names);
        let needed = values.filter(|names| !is_local(names)).chain(called);
        node.needs.extend(needed.filter_map(|names| scope.resolve(names)));
    }

    /// Finds the rules that a beginning of a name may stand for.
    fn meant<'g>(&'g self, wanted: &'g Name) -> impl Iterator<Item = &'g Name> + 'g {
        let above = (1..wanted.len()).filter_map(move |length| {
            self.nodes.get_key_value(wanted.get(..length)?).map(|(name, _)| name)
        });
        let below = self
            .nodes
            .range(wanted.clone()..)
            .map(|(name, _)| name)
            .take_while(move |name| name.starts_with(wanted));
        above.chain(below)
    }

    fn check(&self) -> Vec<Diagnostic> {
        let mut marks = HashMap::new();
        let mut found = Vec::new();
        for name in self.nodes.keys() {
            if self.chain(name, 1, &mut marks, &mut found) > CHAIN_MAX {
                break;
            }
        }
        found
    }

    /// Returns the length of the longest chain that begins at a rule; tells of cycles and of what is too long.
    fn chain<'g>(
        &'g self,
        name: &'g Name,
        depth: usize,
        marks: &mut HashMap<&'g Name, Mark>,
        found: &mut Vec<Diagnostic>,
    ) -> usize {
        let Some(node) = self.nodes.get(name) else { return 0 };
        let own = name.join(".");
        match marks.get(name) {
            Some(Mark::Done(length)) => return *length,
            Some(Mark::Open) => {
                let message = format!("{own} depends on itself; Rego has no recursion");
                found.push(at(&node.span, "rego/recursion", message));
                return 0;
            }
            None => {}
        }
        // The search itself goes no deeper than what it allows.
        if depth > CHAIN_MAX {
            let message = format!("{own} is the last of more than {CHAIN_MAX} rules in a row");
            found.push(at(&node.span, "rego/chain", message));
            return CHAIN_MAX + 1;
        }
        marks.insert(name, Mark::Open);
        let needed: BTreeSet<&Name> = node.needs.iter().flat_map(|need| self.meant(need)).collect();
        let mut longest = 0;
        for next in needed {
            longest = longest.max(self.chain(next, depth + 1, marks, found));
            if longest > CHAIN_MAX {
                return longest;
            }
        }
        if longest + 1 > CHAIN_MAX {
            let message = format!("{own} is the first of more than {CHAIN_MAX} rules in a row");
            found.push(at(&node.span, "rego/chain", message));
        }
        marks.insert(name, Mark::Done(longest + 1));
        longest + 1
    }
}
