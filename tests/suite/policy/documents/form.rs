//! What is wrong with documents, and where.

use attestree::core::policy::Bundle;
use attestree::policy::{Severity, VOCABULARY, compile, environment, environments};

use super::{bundle, findings, native};

/// Returns code, line, column and help of the one thing that is wrong.
fn finding(text: &str) -> (&'static str, usize, usize, String) {
    let found = findings(text);
    let [one] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((one.severity, one.file.as_str()), (Severity::Error, "policy.yaml"));
    (one.code, one.line, one.column, one.help.clone().unwrap_or_default())
}

/// What follows the head of a document, with code, line and column of what is wrong, and a part of the help.
const FAULTY: &[(&str, &str, usize, usize, &str)] = &[
    (
        "classes:\n  a: {reqire: [actor.id]}\n",
        "policy/unknown-key",
        4,
        7,
        "did you mean 'require'?",
    ),
    ("class: {}\n", "policy/unknown-key", 3, 1, "did you mean 'classes'?"),
    ("classes:\n  a: {}\n  a: {}\n", "policy/syntax", 5, 3, ""),
    ("classes: [a]\n", "policy/type", 3, 10, ""),
    ("classes: {a: {require: [actor.id, /actor/id]}}\n", "policy/twice", 3, 35, ""),
    (
        "classes: {a: {require: [{field: outcome, type: text}, outcome]}}\n",
        "policy/twice",
        3,
        55,
        "",
    ),
    ("classes: {a: {require: {actor.id: text, /actor/id: any}}}\n", "policy/twice", 3, 52, ""),
    ("rules: [{name: r, require: [outcome, outcome]}]\n", "policy/twice", 3, 38, ""),
    ("classes: {Auth: {}}\n", "policy/name", 3, 11, ""),
    ("classes: {record: {}}\n", "policy/name", 3, 11, ""),
    ("classes: {a: {level: metdata}}\n", "policy/unknown-word", 3, 22, "did you mean 'metadata'?"),
    ("classes: {a: {match: {acton.x.: 1}}}\n", "policy/field", 3, 23, "did you mean 'actor'?"),
    ("classes: {a: {match: {pv: x}}}\n", "policy/field", 3, 23, ""),
    ("classes: {a: {match: {}}}\n", "policy/empty-match", 3, 22, ""),
    ("classes: {a: {match: {x: {regex: '('}}}}\n", "policy/regex", 3, 34, ""),
    ("classes: {a: {match: {x: {cidr: 10.0.0.0/33}}}}\n", "policy/network", 3, 33, ""),
    ("classes: {a: {match: {x: {range: {min: 2, max: 1}}}}}\n", "policy/range", 3, 34, ""),
    ("classes: {a: {retention: {hot: 2d, total: 1d}}}\n", "policy/retention", 3, 26, ""),
    ("classes: {a: {retention: 1 fortnight}}\n", "policy/period", 3, 26, ""),
    ("classes: {a: {required: true, log: {success: false}}}\n", "policy/required-class", 3, 25, ""),
    ("metadata: {review_by: 2027-02-30}\n", "policy/date", 3, 23, ""),
    ("redact: [{path: actor.id, detect: email, action: drop}]\n", "policy/redaction", 3, 10, ""),
    (
        "redact: [{detect: emial, action: drop}]\n",
        "policy/detector",
        3,
        19,
        "did you mean 'email'?",
    ),
    ("redact: [{path: action, action: drop}]\n", "policy/redaction", 3, 10, ""),
    (
        "redact:\n- {path: a, action: drop}\n- {path: a.b, action: drop}\n",
        "policy/overlap",
        5,
        3,
        "",
    ),
    ("rules: [{name: r, classes: [b], require: [actor.id]}]\n", "policy/unknown-class", 3, 9, ""),
    ("rules: [{name: record/x, require: [actor.id]}]\n", "policy/name", 3, 16, ""),
    ("alerts: [{name: a, count: 5}]\n", "policy/alert", 3, 10, ""),
    ("suppress: [{name: a}]\n", "policy/suppression", 3, 12, ""),
    ("approvals: {keys: [AAAA]}\n", "policy/key", 3, 20, ""),
    ("extends: [org]\n", "policy/parent", 3, 11, ""),
    ("sources: [{match: {host: a}}]\n", "policy/unknown-key", 3, 20, ""),
    ("access: [{role: a, can: [querry]}]\n", "policy/unknown-word", 3, 26, "did you mean 'query'?"),
];

#[test]
fn a_finding_has_its_place_and_says_what_to_do() {
    for (text, code, line, column, help) in FAULTY {
        let found = findings(&native(text));
        let one = found
            .iter()
            .find(|one| one.code == *code)
            .unwrap_or_else(|| panic!("{text}{found:#?}"));
        assert_eq!((one.line, one.column), (*line, *column), "{text}{one:?}");
        assert!(one.help.clone().unwrap_or_default().contains(help), "{text}{one:?}");
    }
}

#[test]
fn one_run_shows_all_findings() {
    let text = native("classes:\n  a: {levl: full}\n  b: {level: 7}\nalert: []\n");
    let codes: Vec<_> = findings(&text).iter().map(|one| (one.code, one.line)).collect();
    assert_eq!(codes, [("policy/unknown-key", 6), ("policy/unknown-key", 4), ("policy/type", 5)]);
}

#[test]
fn a_rule_that_needs_what_is_redacted_is_found_where_it_stands() {
    let text =
        native("redact: [{path: actor.id, action: drop}]\nclasses:\n  a: {require: [actor.id]}\n");
    let (code, line, column, help) = finding(&text);
    assert_eq!((code, line, column), ("policy/redacted", 5, 3));
    assert_eq!(help, "the field is 'actor.id' here");
}

#[test]
fn what_has_to_be_in_the_log_is_not_suppressed() {
    let text = |class: &str| {
        native(&format!("classes: {{a: {class}}}\nsuppress: [{{name: s, classes: [a]}}]\n"))
    };
    assert_eq!(finding(&text("{}")).0, "policy/required-class");
    for class in ["{required: false}", "{log: {success: false}}", "{level: none}"] {
        super::compiled(&text(class));
    }
}

#[test]
fn a_file_of_no_known_form_is_found() {
    for text in
        ["kind: Policy\n", "apiVersion: attestree/v2\nkind: Policy\n", "[]\n", "just text\n"]
    {
        assert_eq!(finding(text).0, "policy/kind", "{text}");
    }
    assert_eq!(finding("# nothing\n").0, "policy/no-document");
}

#[test]
fn json_is_read_as_yaml_is() {
    let yaml = native("classes: {a: {match: {ctx.n: 3}, require: [actor.id]}}\n");
    let json = "{\n\t\"apiVersion\": \"attestree/v1\",\n\t\"kind\": \"Policy\",\n\t\"classes\": {\"a\": {\"match\": {\"ctx.n\": 3}, \"require\": [\"actor.id\"]}}\n}\n";
    let one = super::compiled(&yaml);
    let other =
        compile(&bundle(&[("policy.json", json)])).unwrap_or_else(|found| panic!("{found:#?}"));
    let (one, other) = (one.document.statements().0, other.document.statements().0);
    assert_eq!(one, other);
}

#[test]
fn an_overlay_changes_what_it_names_in_its_environment_alone() {
    let base = native("classes:\n  a: {match: {action: x}, retention: 30d, require: [actor.id]}\n");
    let overlay = native("classes:\n  a: {retention: 400d}\n  b: {}\n");
    let other = native("retention: 1d\n");
    let files =
        bundle(&[("policy.yaml", &base), ("env/prod.yaml", &overlay), ("env/dev.yaml", &other)]);
    assert_eq!(environments(&files), ["dev", "prod"]);
    let days = |bundle: &Bundle| {
        let document = compile(bundle).unwrap_or_else(|found| panic!("{found:#?}")).document;
        assert_eq!(document.classes[0].require.len(), 1);
        let total = document.classes[0].retention.unwrap().total.unwrap().seconds / 86_400;
        (
            total,
            document.classes.len(),
            document.retention.total.map(|total| total.seconds / 86_400),
        )
    };
    assert_eq!(days(&files), (30, 1, None));
    let (prod, dev) = (environment(&files, "prod").unwrap(), environment(&files, "dev").unwrap());
    assert_eq!((days(&prod), days(&dev)), ((400, 2, None), (30, 1, Some(1))));
    assert_ne!(prod.digest(), dev.digest());
}

#[test]
fn the_published_schema_has_every_name() {
    let schema: serde_json::Value = serde_json::from_str(attestree::policy::SCHEMA).unwrap();
    for (map, names) in VOCABULARY {
        let place = if *map == "policy" { &schema } else { &schema["$defs"][map] };
        let known = place["properties"].as_object().unwrap_or_else(|| panic!("{map}"));
        let mut known: Vec<&str> = known.keys().map(String::as_str).collect();
        let mut names = names.to_vec();
        known.sort_unstable();
        names.sort_unstable();
        assert_eq!(known, names, "{map}");
        assert_eq!(place["additionalProperties"], false, "{map}");
    }
    let listed = schema["$defs"].as_object().unwrap();
    for (name, definition) in listed.iter().filter(|(_, one)| one["properties"].is_object()) {
        assert!(VOCABULARY.iter().any(|(map, _)| map == name), "{name}: {definition}");
    }
}
