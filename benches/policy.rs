//! Custom rules in Rego: what asking them about an event of about 1 KiB costs, by the number of rules.
//!
//! `guarded` are rules whose conditions do not hold, so that the engine is not asked. `threads` is the cost for one
//! of two threads that ask at once, each with an engine of its own: without contention it is that of one.

use std::hint::black_box;
use std::time::Instant;

use attestree::core::policy::{Bundle, Condition, Custom as _, Enforcement, Test};
use attestree::core::record::json::{self, Object, Value};
use attestree::core::record::{Path, SUBMISSION_LIMITS};
use attestree::policy::rego::{Guard, Rules};
use criterion::{Criterion, criterion_group, criterion_main};

/// Numbers of rules: the difference of two is the cost of a rule.
const RULES: [usize; 3] = [1, 10, 50];

/// Makes rules, of which an event of [`event`] breaks none.
fn rules(count: usize) -> Rules {
    let rule = |number: usize| {
        format!(
            "deny contains \"r{number}\" if {{ input.act == \"pay.card\"; input.ctx.amount > {} }}\n",
            1_000 + number
        )
    };
    let rules: String = (0..count).map(rule).collect();
    let module = format!("package p\n{rules}").into_bytes();
    let bundle = Bundle::new([("rego/p.rego".to_owned(), module)]).expect("one file is a bundle");
    Rules::load(&bundle).expect("the rules are right").expect("there are rules")
}

/// Writes an event.
fn event() -> String {
    let field = |number: usize| format!("\"field{number}\":\"{}\"", "x".repeat(50));
    let fields: Vec<String> = (0..14).map(field).collect();
    format!(
        r#"{{"act":"pay.card","actor":{{"id":"u"}},"ctx":{{"amount":7,{}}},"out":"success"}}"#,
        fields.join(",")
    )
}

fn parse(text: &str) -> Object<'_> {
    match json::parse(text.as_bytes(), &SUBMISSION_LIMITS) {
        Ok(Value::Object(object)) => object,
        other => panic!("no object: {other:?}"),
    }
}

fn judging(criterion: &mut Criterion) {
    let text = event();
    let event = parse(&text);
    let mut group = criterion.benchmark_group("policy/rego");
    for count in RULES {
        let rules = rules(count);
        group.bench_function(format!("judge/{count}"), |bencher| {
            bencher.iter(|| {
                let said = rules.judge(black_box(&event), None).expect("it decides");
                assert!(said.is_empty());
            });
        });
    }
    let path = Path::parse("/act").expect("a path");
    let guard = Guard {
        subject: "p".to_owned(),
        classes: Vec::new(),
        when: vec![Condition::field(path, Test::Exact("other".to_owned()))],
        otherwise: Enforcement::Quarantine,
        needs: Vec::new(),
    };
    let guarded = rules(50).guard(&[guard]).expect("the package is there");
    group.bench_function("guarded/50", |bencher| {
        bencher.iter(|| assert!(guarded.judge(black_box(&event), None).expect("yes").is_empty()));
    });
    let rules = rules(10);
    group.bench_function("threads/10", |bencher| {
        bencher.iter_custom(|iterations| {
            #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
            let ask = || {
                let begun = Instant::now();
                for _ in 0..iterations {
                    assert!(rules.judge(black_box(&event), None).expect("it decides").is_empty());
                }
                begun.elapsed()
            };
            std::thread::scope(|scope| {
                let other = scope.spawn(ask);
                ask().max(other.join().expect("no thread panics"))
            })
        });
    });
    group.finish();
}

criterion_group!(benches, judging);
criterion_main!(benches);
