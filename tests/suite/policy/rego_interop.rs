//! A second engine: rego-cpp, written by others, says the same about a corpus of policies and events.
//!
//! Every message is a text of the policy, so that the names that a record shows are what the rules hold. The
//! interpreter is found as in `interop.rs`; without it the test says that it is skipped.

use std::collections::BTreeSet;
use std::path::Path;

use attestree::core::policy::{Custom as _, Enforcement};
use attestree::policy::rego::Rules;
use serde_json::{Value, json};

use super::rego::{bundle, event};
use crate::python::{ask, python};

/// Bodies of `deny contains "mN"` and `warn contains "mN"`, one policy a line.
///
/// Without `net.cidr_contains` and `time.*`, which hold of nothing in that engine, and `json.marshal` of arrays,
/// at which it fails.
const BODIES: &[&[&str]] = &[
    &["input.x > data.limit", "not input.y", "input.x == 5; not input.y"],
    &[
        "some role in input.roles; role == \"root\"",
        "\"root\" in input.roles",
        "count(input.roles) > 1",
    ],
    &[
        "every role in input.roles { startswith(role, \"a\") }",
        "every role in input.roles { role != \"root\" }",
    ],
    &["input.actor.id != input.owner", "not input.actor.id", "input.actor[_] == \"alice\""],
    &[
        "regex.match(`^[a-z]+$`, input.name)",
        "regex.match(\"[0-9]{3,}\", input.name)",
        "not regex.match(\"x\", input.name)",
    ],
    &[
        "glob.match(\"*.example\", [\".\"], input.host)",
        "glob.match(\"**.example\", [\".\"], input.host)",
    ],
    &[
        "sum(input.amounts) > 100",
        "max(input.amounts) > 50",
        "product(input.amounts) == 0",
        "min(input.amounts) < 0",
    ],
    &[
        "count({role | some role in input.roles}) != count(input.roles)",
        "[role | some role in input.roles][0] == \"root\"",
    ],
    &[
        "lower(input.name) != input.name",
        "upper(input.name) == input.name",
        "trim_space(input.name) != input.name",
    ],
    &[
        "split(input.host, \".\")[0] == \"www\"",
        "concat(\"-\", input.roles) == \"admin-root\"",
        "contains(input.host, \"ex\")",
    ],
    &[
        "sprintf(\"%s/%d\", [input.name, input.x]) == \"bob/5\"",
        "substring(input.name, 0, 2) == \"bo\"",
        "indexof(input.name, \"b\") == 0",
    ],
    &[
        "object.get(input, \"owner\", \"nobody\") == \"nobody\"",
        "object.get(input, [\"actor\", \"id\"], \"\") == \"alice\"",
    ],
    &[
        "input.x + 1 == 6",
        "input.x * 2 > 9",
        "input.x % 2 == 1",
        "input.x / 2 == 2.5",
        "abs(0 - input.x) == 5",
        "round(2.5) == 3",
    ],
    &[
        "is_string(input.x)",
        "is_number(input.x)",
        "is_array(input.roles)",
        "is_object(input.actor)",
        "is_null(input.owner)",
    ],
    &["input.x >= 1; input.x <= 5", "input.x != 5", "input.x == input.x", "null == input.owner"],
    &[
        "{\"a\", \"b\"} & {role | some role in input.roles} != set()",
        "{\"root\"} - {role | some role in input.roles} == set()",
    ],
    &[
        "some key, value in input.actor; key == \"id\"; value == \"alice\"",
        "some number, role in input.roles; number == 1; role == \"root\"",
    ],
    &[
        "input.roles[count(input.roles) - 1] == \"root\"",
        "input.roles[7]",
        "array.slice(input.roles, 0, 1) == [\"admin\"]",
    ],
    &["known", "not known", "level == \"high\"", "double(input.x) == 10"],
    &["json.unmarshal(`{\"a\":[1]}`).a[0] == input.one", "base64.encode(input.name) == \"Ym9i\""],
    &[
        "numbers.range(1, 3)[_] == input.x",
        "input.x in numbers.range(1, 9)",
        "bits.and(input.x, 4) == 4",
    ],
    &[
        "strings.any_prefix_match(input.host, [\"www\", \"ftp\"])",
        "strings.reverse(input.name) == input.name",
        "semver.compare(\"1.2.3\", \"1.10.0\") < 0",
    ],
    &[
        "input.actor.id == \"alice\" with input.actor.id as \"alice\"",
        "not deep",
        "deep with input.x as 99",
    ],
];

/// Rules that the bodies use.
const SHARED: &str = r#"
known if input.name in {"alice", "bob"}

default level := "low"

level := "high" if input.x > 4
else := "middle" if input.x > 2

double(number) := 2 * number

deep if input.x > 50
"#;

const EVENTS: &[&str] = &[
    "{}",
    r#"{"x":5,"y":1,"name":"bob","roles":["admin","root"],"actor":{"id":"alice"},"owner":"alice","host":"www.shop.example","ip":"10.1.2.3","amounts":[60,50],"ot":"2026-11-21T00:14:00Z","one":1}"#,
    r#"{"x":3,"name":"Eve ","roles":["root","root"],"actor":{"id":"eve"},"owner":null,"host":"shop.example","ip":"192.0.2.1","amounts":[0,-4],"ot":"2025-11-21T00:14:00Z","one":2}"#,
    r#"{"x":1,"name":"otto","roles":[],"actor":{},"owner":"bob","host":"ftp.other","ip":"10.255.0.1","amounts":[1.5],"ot":"2026-11-22T23:59:59.5+02:00","one":1}"#,
    r#"{"x":99,"name":"ABC123","roles":["a","ab","abc"],"actor":{"id":"alice","name":"al"},"owner":"alice","host":"a.b.example","ip":"10.0.0.0","amounts":[],"ot":"2026-02-28T00:00:00Z","one":1}"#,
];

/// Writes a policy with a `deny` and a `warn` for each body.
fn module(bodies: &[&str]) -> String {
    let rule = |(number, body): (usize, &&str)| {
        format!(
            "deny contains \"m{number}\" if {{ {body} }}\nwarn contains \"w{number}\" if {{ input.x; {body} }}\n"
        )
    };
    let rules: String = bodies.iter().enumerate().map(rule).collect();
    format!("package p\n\nimport rego.v1\n{SHARED}\n{rules}")
}

/// Asks the second engine.
fn ask_second(python: &Path, cases: &[Value]) -> Vec<Vec<Value>> {
    let told = ask(python, "rego.py", &Value::Array(cases.to_vec()));
    // That engine complains of itself on the same stream; the answer is the last line.
    serde_json::from_str(told.lines().last().unwrap()).unwrap()
}

/// Asks our engine; what is an error here is undefined there, and so holds nothing.
fn judge(rules: &Rules, text: &str) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let said = rules.judge(&event(text), None).ok()?;
    let of = |wanted: Enforcement| {
        let said = said.iter().filter(|(enforcement, _)| *enforcement == wanted);
        said.map(|(_, name)| name.strip_prefix("rego/p/").unwrap().to_owned()).collect()
    };
    Some((of(Enforcement::Quarantine), of(Enforcement::Warn)))
}

#[test]
fn a_second_engine_says_the_same() {
    let modules: Vec<String> = BODIES.iter().map(|bodies| module(bodies)).collect();
    let data = json!({"limit": 3});
    let load = |module: &String| {
        let files = [("rego/p.rego", module.as_str()), ("data.json", r#"{"limit":3}"#)];
        Rules::load(&bundle(&files)).unwrap_or_else(|found| panic!("{module}\n{found:?}")).unwrap()
    };
    let rules: Vec<Rules> = modules.iter().map(load).collect();
    let Some(python) = python("the second engine", "regopy") else { return };
    let inputs: Vec<Value> =
        EVENTS.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let case = |module: &String| json!({"module": module, "data": data, "inputs": inputs});
    let answers = ask_second(&python, &modules.iter().map(case).collect::<Vec<_>>());
    assert_eq!(answers.len(), rules.len());
    let (mut alike, mut errors, mut held) = (0, 0, 0);
    let mut differing = Vec::new();
    for ((rules, module), answers) in rules.iter().zip(&modules).zip(&answers) {
        for (text, answer) in EVENTS.iter().zip(answers) {
            let Some((deny, warn)) = judge(rules, text) else {
                errors += 1;
                continue;
            };
            let set = |name: &str| -> BTreeSet<String> {
                serde_json::from_value(answer[name].clone()).unwrap()
            };
            let other = (set("deny"), set("warn"));
            if (&deny, &warn) != (&other.0, &other.1) {
                differing.push(format!("{module}\n{text}\n{deny:?} {warn:?}\n{other:?}"));
            }
            alike += 1;
            held += deny.len() + warn.len();
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
    println!("{alike} alike with {held} messages, {errors} errors");
    assert!(alike > 100 && held > 100, "{alike} alike with {held} messages, {errors} errors");
}
