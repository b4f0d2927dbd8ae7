//! No accepted record lacks what its policy requires, whatever is submitted.

use attestree::core::{
    policy::{Class, Condition, Enforcement, FieldType, Requirement, Rule, Statements, Test},
    record::ApprovalRule,
};
use proptest::prelude::*;

use super::{
    append::path,
    site::{Site, apply, check, events, states, submit},
};

const PLACES: [&str; 4] = ["/actor/name", "/actor/id", "/ctx/reason", "/resource/id"];

/// A member with this name, at random of any kind.
fn member(name: &'static str) -> impl Strategy<Value = Option<String>> {
    let value = prop_oneof![
        Just("\"text\"".to_owned()),
        Just("\"\"".to_owned()),
        Just("7".to_owned()),
        Just("null".to_owned()),
        Just("{\"deep\":[1]}".to_owned()),
    ];
    proptest::option::of(value.prop_map(move |value| format!("\"{name}\":{value}")))
}

/// An event that has some of the required fields, of one class, of another, or of none.
fn event() -> impl Strategy<Value = String> {
    let class = proptest::option::of(prop_oneof![Just("one"), Just("two"), Just("three")]);
    let act = prop_oneof![Just("one.a"), Just("two.a"), Just("none")];
    let members = (member("name"), member("id"), member("reason"), member("id"));
    (class, act, members).prop_map(|(class, act, (name, id, reason, resource))| {
        let actor: Vec<String> = [name, id].into_iter().flatten().collect();
        let class = class.map_or_else(String::new, |class| format!("\"class\":\"{class}\","));
        let (reason, resource) = (reason.unwrap_or_default(), resource.unwrap_or_default());
        format!(
            r#"{{{class}"act":"{act}","actor":{{{}}},"ctx":{{{reason}}},"resource":{{{resource}}}}}"#,
            actor.join(",")
        )
    })
}

/// Each class requires some of the fields.
fn statements(required: &[Vec<usize>; 2]) -> Statements {
    let name = |number: usize| ["one", "two"][number].to_owned();
    let starts =
        |number| Condition::field(path("/act"), Test::Prefix(format!("{}.", name(number))));
    let require = |places: &Vec<usize>| {
        let place = |at: &usize| Requirement { path: path(PLACES[*at]), field: FieldType::Text };
        places.iter().map(place).collect()
    };
    let rule = |number: usize| Rule {
        name: format!("{}/fields", name(number)),
        classes: vec![name(number)],
        when: Vec::new(),
        require: require(&required[number]),
        otherwise: Enforcement::Quarantine,
    };
    Statements {
        classes: [0, 1]
            .map(|number| Class { name: name(number), when: vec![starts(number)] })
            .into(),
        rules: vec![rule(0), rule(1)],
        ..Statements::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_accepted_record_lacks_a_required_field(
        required in [proptest::collection::vec(0..4_usize, 0..4), proptest::collection::vec(0..4_usize, 0..4)],
        texts in proptest::collection::vec(event(), 1..40),
    ) {
        let site = Site::new(&ApprovalRule::NOBODY);
        let pipeline = site.open();
        let log = pipeline.log("").unwrap();
        apply(&pipeline, &log, &site.state("one", states(statements(&required))));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        submit(&pipeline, &log, events(&texts));
        let lines = check(&pipeline, &log);
        let recorded: Vec<_> = lines.iter().filter(|line| line.kind == "event").collect();
        prop_assert_eq!(recorded.len(), texts.len(), "nothing is lost");
        for (line, text) in recorded.iter().zip(&texts) {
            if line.at("/vd").as_deref() != Some("accept") {
                prop_assert_eq!(line.at("/class"), None);
                continue;
            }
            let act = line.at("/act").unwrap();
            for (number, class) in ["one", "two"].into_iter().enumerate() {
                let is_of = line.at("/class").as_deref() == Some(class)
                    || act.starts_with(&format!("{class}."));
                for place in required[number].iter().filter(|_| is_of) {
                    let value = line.at(PLACES[*place]);
                    prop_assert_eq!(value.as_deref(), Some("text"), "{} of {}", place, text);
                }
            }
        }
        pipeline.stop();
    }
}
