//! Custom rules: what is loaded, what they say of an event, and what a record shows of that.

use attestree::core::number::UnixMillis;
use attestree::core::policy::{
    Action, Admission, Admitted, Arrival, Bundle, Condition, Custom as _, Enforcement, Materials,
    Policy, Statements, Target, Test, Treatment, admit,
};
use attestree::core::record::json::{self, Object, Value};
use attestree::core::record::{
    Body, Path, Record, RecordId, SUBMISSION_LIMITS, Salt, Secret, Timestamp, Verdict,
};
use attestree::policy::Diagnostic;
use attestree::policy::rego::{Guard, GuardError, Rules};

/// Salts and keys that are always the same.
pub struct Fixed;

impl Materials for Fixed {
    fn salt(&mut self) -> Salt {
        Salt::new([7; 32])
    }

    fn token_key(&mut self, _path: &Path, _days: u32) -> (Secret, u32) {
        (Secret::new([9; 32]), 685)
    }
}

/// Makes a bundle of files.
pub fn bundle(files: &[(&str, &str)]) -> Bundle {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    Bundle::new(files).unwrap()
}

/// Loads the rules of one module.
pub fn rules(module: &str) -> Rules {
    Rules::load(&bundle(&[("rego/rules.rego", module)])).unwrap().unwrap()
}

/// Loads files that can't be loaded; returns what is found.
fn refused(files: &[(&str, &str)]) -> Vec<Diagnostic> {
    Rules::load(&bundle(files)).expect_err("it is refused")
}

/// Parses an event.
pub fn event(text: &str) -> Object<'_> {
    match json::parse(text.as_bytes(), &SUBMISSION_LIMITS) {
        Ok(Value::Object(object)) => object,
        other => panic!("no object: {other:?}"),
    }
}

/// Judges an event of no class.
fn judge(rules: &Rules, text: &str) -> Vec<(Enforcement, String)> {
    rules.judge(&event(text), None).unwrap()
}

/// Admits an event under a policy of these rules and treatments alone.
pub fn admitted(rules: &Rules, treatments: Vec<Treatment>, text: &str) -> Admitted {
    let statements = Statements { treatments, ..Statements::default() };
    let policy = Policy::compile(bundle(&[("policy.yaml", "")]).digest(), &statements).unwrap();
    let arrival = Arrival {
        bytes: text.as_bytes(),
        source: None,
        class: None,
        kept: false,
        id: RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]),
        now: Timestamp::from_micros(1_795_000_000_000_000).unwrap(),
    };
    match admit(&policy, &arrival, &mut Fixed, rules) {
        Ok(Admission::Recorded(admitted)) => admitted,
        other => panic!("not recorded: {other:?}"),
    }
}

/// Returns the entry of an admitted event.
fn entry(admitted: Admitted) -> String {
    String::from_utf8(admitted.draft.stamp(Timestamp::from_micros(1).unwrap())).unwrap()
}

#[test]
fn rules_of_each_name_have_their_enforcement() {
    let rules = rules(
        r#"package attestree.card
        deny contains "no actor" if not input.actor
        violation contains {"msg": "bad-outcome", "details": {"out": input.out}} if input.out == "failure"
        warn contains msg if { input.class == "auth"; msg := sprintf("by %v", [input.act]) }
        deny_late contains "late" if startswith(input.ot, "1970")
        alert contains "root-login" if input.act == "auth.root""#,
    );
    let quarantine = |name: &str| (Enforcement::Quarantine, name.to_owned());
    assert_eq!(
        judge(&rules, r#"{"out":"failure"}"#),
        [quarantine("rego/attestree.card/deny"), quarantine("rego/attestree.card/bad-outcome")]
    );
    let root = r#"{"actor":{},"act":"auth.root","ot":"1970-01-01T00:00:00Z"}"#;
    let said = rules.judge(&event(root), Some("auth")).unwrap();
    let warning = (Enforcement::Warn, "rego/attestree.card/warn".to_owned());
    assert_eq!(said, [warning, quarantine("rego/attestree.card/late")]);
    assert_eq!(rules.alert(&event(root), None).unwrap(), ["rego/attestree.card/root-login"]);
    assert_eq!(judge(&rules, r#"{"actor":{"id":"u"}}"#), []);
}

#[test]
fn a_message_made_of_the_event_is_never_shown() {
    let rules = rules(
        r#"package p
        deny contains input.actor.id
        warn contains "fixed" if input.actor.id == "fixed""#,
    );
    let names = |text| judge(&rules, text).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names(r#"{"actor":{"id":"alice"}}"#), ["rego/p/deny"]);
    // A text of the policy may be shown, whoever says it.
    assert_eq!(names(r#"{"actor":{"id":"fixed"}}"#), ["rego/p/fixed", "rego/p/fixed"]);
}

#[test]
fn guards_are_tested_before_the_engine() {
    let module = "package p\ndeny contains \"always\"\n";
    let guard = Guard {
        subject: "rego/rules.rego".to_owned(),
        classes: vec!["auth".to_owned()],
        when: vec![Condition::field(
            Path::parse("/act").unwrap(),
            Test::Prefix("auth.".to_owned()),
        )],
        otherwise: Enforcement::Reject,
        needs: Vec::new(),
    };
    let guarded = rules(module).guard(std::slice::from_ref(&guard)).unwrap();
    let said = |text, class| guarded.judge(&event(text), class).unwrap();
    assert_eq!(said(r#"{"act":"auth.login"}"#, Some("auth")).len(), 1);
    assert_eq!(said(r#"{"act":"auth.login"}"#, Some("auth"))[0].0, Enforcement::Reject);
    assert_eq!(said(r#"{"act":"auth.login"}"#, Some("other")), []);
    assert_eq!(said(r#"{"act":"pay"}"#, Some("auth")), []);
    let twice = Guard { subject: "p".to_owned(), ..guard.clone() };
    assert!(matches!(rules(module).guard(&[guard.clone(), twice]), Err(GuardError::Twice { .. })));
    let unknown = Guard { subject: "q".to_owned(), ..guard };
    let told = rules(module).guard(&[unknown]).unwrap_err().to_string();
    assert_eq!(told, "\"q\" is no package or file with rules: name one of p");
}

#[test]
fn masks_are_applied_before_anything_is_shown() {
    let rules = rules(
        r#"package system.log
        mask contains "/input/ctx/password" if input.ctx.password
        mask contains {"op": "upsert", "path": "/ctx/phone", "value": input.ctx.phone}
        mask contains {"op": "remove", "path": "/actor/mail"}
        deny contains "password seen" if input.ctx.password"#,
    );
    let text = r#"{"actor":{"id":"u","mail":"a@b.c"},"ctx":{"password":"hunter2","phone":"555"}}"#;
    let admitted = admitted(&rules, Vec::new(), text);
    assert_eq!(admitted.verdict, Verdict::Accept);
    let entry = entry(admitted);
    assert!(!entry.contains("hunter2") && !entry.contains("555") && !entry.contains("a@b"));
    let red = r#""red":[["/actor/mail","drop"],["/ctx/password","drop"],["/ctx/phone","mask"]]"#;
    assert!(entry.contains(red), "{entry}");
}

#[test]
fn masks_inside_of_what_the_policy_commits_leave_a_valid_record() {
    let rules = rules(
        r#"package p
        mask contains {"op": "upsert", "path": "/ctx/a/b", "value": "x"}"#,
    );
    let target = Target::Path(Path::parse("/ctx/a").unwrap());
    let commit = Treatment { target, action: Action::Commit { subject: None } };
    let entry = entry(admitted(&rules, vec![commit], r#"{"ctx":{"a":{"b":"secret"}}}"#));
    let record = Record::parse(entry.as_bytes()).expect("a record");
    assert_eq!(record.commitments().len(), 1);
    assert!(matches!(record.body(), Body::Event(event) if event.redactions().is_empty()));
}

#[test]
fn what_is_no_mask_makes_an_error_and_hides_the_event() {
    for said in ["{\"op\": \"move\", \"path\": \"/ctx/a\"}", "\"/class\"", "7"] {
        let rules = rules(&format!("package p\nmask contains {said}"));
        let admitted = admitted(&rules, Vec::new(), r#"{"ctx":{"a":"secret"}}"#);
        assert_eq!(admitted.verdict, Verdict::Error);
        let entry = entry(admitted);
        assert!(entry.contains(r#""vr":["policy/error"]"#) && !entry.contains("secret"));
    }
}

#[test]
fn a_needed_value_is_seen_although_it_is_committed() {
    let module = "package p\ndeny contains \"outside\" if not endswith(input.actor.mail, \"@b.c\")";
    let mail = Path::parse("/actor/mail").unwrap();
    let commit =
        Treatment { target: Target::Path(mail.clone()), action: Action::Commit { subject: None } };
    let guard = Guard {
        subject: "p".to_owned(),
        classes: Vec::new(),
        when: Vec::new(),
        otherwise: Enforcement::Warn,
        needs: vec![mail],
    };
    let seeing = rules(module).guard(&[guard]).unwrap();
    for (text, verdict) in [
        (r#"{"actor":{"mail":"a@b.c"}}"#, Verdict::Accept),
        (r#"{"actor":{"mail":"a@d.e"}}"#, Verdict::Warn),
    ] {
        assert_eq!(admitted(&seeing, vec![commit.clone()], text).verdict, verdict, "{text}");
    }
    // Who does not say so sees the commitment, of which the function can make nothing.
    let blind = rules(module);
    let text = r#"{"actor":{"mail":"a@b.c"}}"#;
    assert_eq!(admitted(&blind, vec![commit], text).verdict, Verdict::Error);
}

#[test]
fn functions_that_differ_from_time_to_time_are_refused_with_their_place() {
    for (name, call) in [
        ("time.now_ns", "time.now_ns()"),
        ("rand.intn", "rand.intn(\"x\", 3)"),
        ("uuid.rfc4122", "uuid.rfc4122(\"x\")"),
        ("http.send", "http.send({})"),
        ("opa.runtime", "opa.runtime()"),
        ("net.lookup_ip_addr", "net.lookup_ip_addr(\"x\")"),
    ] {
        let module = format!("package p\n\ndeny contains \"x\" if {{\n  x := {call}\n}}\n");
        let found = refused(&[("rego/a.rego", &module)]);
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((only.code, only.line, only.column), ("rego/nondeterministic", 4, 8), "{only}");
        assert!(only.message.starts_with(name) && only.help.is_some());
    }
    let by_with = "package p\nf(x) := 1\ndeny contains \"x\" if f(3) == 4 with f as rand.intn\n";
    assert_eq!(refused(&[("rego/a.rego", by_with)])[0].code, "rego/nondeterministic");
}

#[test]
fn modules_that_make_no_sense_are_refused_with_their_place() {
    for (module, code, line, column) in [
        ("package p\n\ndeny contains x if input.x ==\n", "rego/syntax", 4, 0),
        ("package p\ndeny contains x if no.such(input)\n", "rego/function", 2, 20),
        ("package p\ndeny contains \"x\" if count(1, 2, 3) > 1\n", "rego/arguments", 2, 22),
        ("package p\ndeny contains \"x\" if q > 1\n", "rego/compile", 2, 22),
        ("package p\na if b\nb if a\ndeny contains \"x\" if a\n", "rego/recursion", 2, 1),
        ("package p\nf(x) := f(x)\ndeny contains f(1)\n", "rego/recursion", 2, 1),
        ("package p\ndeny contains 1e99999\n", "rego/syntax", 2, 15),
        ("package p\ndeny[x] { x := 1 }\n", "rego/syntax", 2, 9),
    ] {
        let found = refused(&[("rego/a.rego", module)]);
        let first = &found[0];
        assert_eq!((first.code, first.line), (code, line), "{module}: {first}");
        assert!(column == 0 || first.column == column, "{module}: {first}");
        assert!(first.file == "rego/a.rego" && !first.message.is_empty());
    }
}

#[test]
fn local_names_are_no_recursion() {
    let loaded = rules(
        r#"package p
        role := pick(input.actor.role)
        pick(role) := lower(role)
        names := [each | some each in input.ctx.names]
        name := "n" if count(names) > 0
        deny contains "root" if { role == "root"; name == "n" }"#,
    );
    let text = r#"{"actor":{"role":"ROOT"},"ctx":{"names":["a"]}}"#;
    assert_eq!(judge(&loaded, text).len(), 1);
}

#[test]
fn data_stands_where_opa_has_it() {
    let module = r#"package rules.p
        deny contains "unknown" if not input.act in data.acts.known
        deny contains "limit" if input.ctx.amount > data.limits.max"#;
    let files = [
        ("rego/p.rego", module),
        ("data.json", r#"{"acts":{"known":["pay"]}}"#),
        ("limits/data.yaml", "max: 100\n"),
        (".manifest", r#"{"roots":["rules","acts","limits"]}"#),
        ("tests/data.json", "no data"),
    ];
    let loaded = Rules::load(&bundle(&files)).unwrap().unwrap();
    assert_eq!(judge(&loaded, r#"{"act":"pay","ctx":{"amount":5}}"#), []);
    assert_eq!(judge(&loaded, r#"{"act":"steal","ctx":{"amount":500}}"#).len(), 2);

    for (path, text, code) in [
        ("data.json", r#"{"other":1}"#, "rego/data"),
        ("data.json", "{\"acts\":\n 1e}", "rego/data"),
        ("limits/data.yaml", "max: [", "rego/data"),
        ("data.json", r#"{"rules":{"p":7}}"#, "rego/data"),
        (".manifest", r#"{"roots":["acts","limits"]}"#, "rego/roots"),
        (".manifest", r#"{"roots":7}"#, "rego/data"),
    ] {
        let mut changed = files.to_vec();
        changed.retain(|(other, _)| *other != path);
        changed.push((path, text));
        let found = refused(&changed);
        assert!(found.iter().any(|found| found.code == code), "{path} {text}: {found:?}");
    }
}

#[test]
fn what_is_not_a_module_is_left_alone() {
    let none = [("policy.yaml", "x"), ("tests/p_test.rego", "no rego"), ("rego/a_test.rego", "no")];
    assert!(Rules::load(&bundle(&none)).unwrap().is_none());
}

#[test]
fn threads_judge_alike_with_engines_of_their_own() {
    let rules = rules("package p\ndeny contains \"x\" if input.ctx.n > 5");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..50 {
                    let said = judge(&rules, &format!(r#"{{"ctx":{{"n":{n}}}}}"#));
                    assert_eq!(said.len(), usize::from(n > 5));
                }
            });
        }
    });
}

#[test]
fn an_error_leaves_nothing_behind() {
    let rules = rules(
        "package p\nbad := to_number(input.ctx.x) if input.ctx.x\ndeny contains \"x\" if bad > 1",
    );
    let told = rules.judge(&event(r#"{"ctx":{"x":"secret"}}"#), None).unwrap_err().to_string();
    assert!(!told.contains("secret") && told.contains("rego/rules.rego:2"), "{told}");
    assert_eq!(judge(&rules, r#"{"ctx":{"x":"2"}}"#).len(), 1);
}
