//! Statements that make a policy, and those that don't.

use attestree::core::policy::{
    Action, Class, Condition, Detector, Enforcement, FieldType, Glob, Policy, PolicyError,
    Requirement, Rule, STATEMENTS_MAX, Statements, Target, Test, Treatment,
};
use attestree::core::record::{Path, PolicyDigest};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn class(name: &str) -> Class {
    Class { name: name.to_owned(), when: Vec::new() }
}

fn rule(name: &str, require: &str, field: FieldType) -> Rule {
    let require = vec![Requirement { path: path(require), field }];
    Rule {
        name: name.to_owned(),
        classes: Vec::new(),
        when: Vec::new(),
        require,
        otherwise: Enforcement::Quarantine,
    }
}

fn treat(target: &str, action: Action) -> Treatment {
    Treatment { target: Target::Path(path(target)), action }
}

fn error(statements: &Statements) -> PolicyError {
    Policy::compile(PolicyDigest::NONE, statements).unwrap_err()
}

#[test]
fn names_have_their_form_and_are_unique() {
    let classes = |names: &[&str]| Statements {
        classes: names.iter().map(|name| class(name)).collect(),
        ..Statements::default()
    };
    let rules = |names: &[&str]| {
        let rules = names.iter().map(|name| rule(name, "/act", FieldType::Any)).collect();
        Statements { rules, ..Statements::default() }
    };
    assert_eq!(error(&classes(&["A"])), PolicyError::Name { name: "A".to_owned() });
    assert_eq!(error(&classes(&["a", "a"])), PolicyError::Twice { name: "a".to_owned() });
    for name in ["", "record/x", "class/x", "detected/x", "a b"] {
        assert_eq!(error(&rules(&[name])), PolicyError::Name { name: name.to_owned() });
    }
    assert_eq!(error(&rules(&["r", "r"])), PolicyError::Twice { name: "r".to_owned() });
    let many: Vec<String> = (0..=STATEMENTS_MAX).map(|number| format!("r{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(error(&rules(&many)), PolicyError::Statements);
    Policy::compile(PolicyDigest::NONE, &rules(&many[1..])).unwrap();
    let about = Rule { classes: vec!["b".to_owned()], ..rule("r", "/act", FieldType::Any) };
    let unknown = PolicyError::UnknownClass { rule: "r".to_owned(), class: "b".to_owned() };
    assert_eq!(error(&Statements { rules: vec![about], ..classes(&["a"]) }), unknown);
    let mut circle = classes(&["a"]);
    let looks = Condition::field(path("/class"), Test::Present);
    circle.classes[0].when = vec![Condition::Not(Box::new(looks))];
    assert_eq!(error(&circle), PolicyError::Circular { class: "a".to_owned() });
}

#[test]
fn only_what_producers_fill_is_treated() {
    let treated = |target: &str, action| {
        Policy::compile(
            PolicyDigest::NONE,
            &Statements { treatments: vec![treat(target, action)], ..Statements::default() },
        )
    };
    for target in ["/act", "/source", "/ot", "/other", "/*"] {
        assert_eq!(
            treated(target, Action::Drop).unwrap_err(),
            PolicyError::Place { path: path(target) }
        );
    }
    assert_eq!(
        treated("/actor", Action::Mask { keep_last: 0 }).unwrap_err(),
        PolicyError::Place { path: path("/actor") }
    );
    for action in [Action::Drop, Action::TOKEN, Action::Commit { subject: None }] {
        treated("/actor", action.clone()).unwrap();
        treated("/ctx/*/x", action).unwrap();
    }
    treated("/actor/name", Action::Mask { keep_last: 4 }).unwrap();
}

#[test]
fn no_value_is_treated_twice() {
    let both = |one: &str, other: &str| {
        let treatments = vec![treat(one, Action::Drop), treat(other, Action::TOKEN)];
        Policy::compile(PolicyDigest::NONE, &Statements { treatments, ..Statements::default() })
    };
    for (one, other) in [
        ("/ctx", "/ctx/a"),
        ("/ctx/a", "/ctx/a"),
        ("/ctx/*", "/ctx/a/b"),
        ("/ctx/*/b", "/ctx/a/*"),
        ("/ctx/a/b", "/ctx/a"),
    ] {
        assert_eq!(
            both(one, other).unwrap_err(),
            PolicyError::Overlap { one: path(one), other: path(other) }
        );
    }
    for (one, other) in [
        ("/ctx/a", "/ctx/ab"),
        ("/ctx/a/b", "/ctx/a/c"),
        ("/ctx/*/b", "/ctx/*/c"),
        ("/actor", "/ctx"),
    ] {
        both(one, other).unwrap();
    }
}

#[test]
fn no_rule_needs_what_is_redacted() {
    let both = |require: Rule, treatment| Statements {
        rules: vec![require],
        treatments: vec![treatment],
        ..Statements::default()
    };
    let redacted = |text| PolicyError::Redacted { rule: "r".to_owned(), path: path(text) };
    for (target, action) in [
        ("/actor/id", Action::TOKEN),
        ("/actor/*", Action::Drop),
        ("/actor", Action::TOKEN),
        ("/actor", Action::Drop),
    ] {
        let text = rule("r", "/actor/id", FieldType::Text);
        assert_eq!(error(&both(text, treat(target, action))), redacted("/actor/id"), "{target}");
    }
    assert_eq!(
        error(&both(rule("r", "/actor/id", FieldType::Any), treat("/actor/id", Action::Drop))),
        redacted("/actor/id")
    );
    let when = vec![Condition::field(path("/ctx/zone"), Test::Exact("eu".to_owned()))];
    let looks = Rule { when, require: Vec::new(), ..rule("r", "/act", FieldType::Any) };
    assert_eq!(
        error(&both(looks, treat("/ctx/zone", Action::Commit { subject: None }))),
        redacted("/ctx/zone")
    );

    // That a value is there can be seen of a commitment too.
    let any = rule("r", "/actor/id", FieldType::Any);
    Policy::compile(
        PolicyDigest::NONE,
        &both(any, treat("/actor/id", Action::Commit { subject: None })),
    )
    .unwrap();
    let other = rule("r", "/actor/id", FieldType::Text);
    Policy::compile(PolicyDigest::NONE, &both(other, treat("/actor/identity", Action::Drop)))
        .unwrap();
    let detected = Treatment { target: Target::Detected(Detector::Card), action: Action::Drop };
    Policy::compile(PolicyDigest::NONE, &both(rule("r", "/actor/id", FieldType::Text), detected))
        .unwrap();
}

#[test]
fn patterns_match_whole_texts() {
    let cases = [
        ("auth.*", "auth.login", true),
        ("auth.*", "auth.", true),
        ("auth.*", "auth", false),
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("*.login", "auth.login", true),
        ("*.login", "auth.login2", false),
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "abc", true),
        ("a*b*c", "acb", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("**", "x", true),
        ("*ab*ab*", "ab", false),
        ("*ab*ab*", "xabyabz", true),
        ("a?c", "abc", false),
    ];
    for (pattern, text, holds) in cases {
        assert_eq!(Glob::new(pattern).matches(text), holds, "{pattern} {text}");
    }
    assert!(!Glob::new(&"*a".repeat(200)).matches(&"a".repeat(199)));
    assert!(!Glob::new(&"a*".repeat(200)).matches(&format!("b{}", "a".repeat(1 << 20))));
}
