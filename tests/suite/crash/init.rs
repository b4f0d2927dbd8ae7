//! Faults while a log is made: what is left is whole, or can be made anew.

use std::fs;

use super::{
    audit::check_logs,
    instance::{Instance, Plan, first_injected, observe},
    ledger::Book,
    process::{Server, Strace, was_killed},
    random::Random,
    runtime, setting,
    site::{NewLog, PLAIN, Site},
};
use crate::needs::strace_attaches;

/// Instances of each call and each fault in a run without a setting.
const INSTANCES: u64 = 2;

/// Runs `init` under strace.
fn init(site: &Site, strace: &Strace) -> Server {
    let arguments = site.init_arguments(PLAIN, false);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut process = Server::spawn(&arguments, &[], Some(strace), site.scratch("init-stderr"));
    process.wait();
    process
}

/// Does what the message of a refused `init` says, and asserts that this is enough.
fn follow(site: &Site, message: &str) -> NewLog {
    assert!(message.contains("move it away"), "the way out is named: {message}");
    for name in ["data/signing/0.skey", "data.watermark"] {
        if message.contains(name) {
            fs::rename(site.disk().join(name), site.scratch("moved away")).unwrap();
        }
    }
    site.init(PLAIN, false)
}

/// Makes one instance fail and asserts that the log can be made and served.
fn inject(plan: &Plan, instance: &Instance, random: &mut Random) -> bool {
    let site = Site::new();
    let strace = plan.strace(instance, &site);
    let mut process = init(&site, &strace);
    let status = process.wait();
    let trace = super::trace::Trace::read(&strace.output, 0);
    let happened = first_injected(&trace).is_some() || was_killed(status);
    let log = if status.success() {
        NewLog::printed(PLAIN, &process.stdout())
    } else {
        let again = site.run(&site.init_arguments(PLAIN, false));
        let message = String::from_utf8_lossy(&again.stderr).into_owned();
        let printed = String::from_utf8_lossy(&again.stdout).into_owned();
        // It may have been killed behind its last effect.
        match (again.status.success(), message.contains("exists already")) {
            (true, _) => NewLog::printed(PLAIN, &printed),
            (false, true) => site.shown(PLAIN),
            (false, false) => follow(&site, &message),
        }
    };
    let book = Book::new(&[log]);
    let mut server = site.serve();
    runtime().block_on(async {
        let mut client = super::client::Client::connect(&server.url(), &book).await.unwrap();
        client.append(PLAIN, b"first".to_vec(), Vec::new()).await.unwrap();
        check_logs(&server.url(), &book.ledger(), random).await;
    });
    assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
    site.fsck();
    happened
}

#[test]
fn an_interrupted_init_is_no_dead_end() {
    if !strace_attaches("init") {
        return;
    }
    let random = &mut Random::seeded("init");
    let dry = Site::new();
    let strace = observe(&dry);
    assert!(init(&dry, &strace).wait().success(), "without a fault all is well");
    let trace = super::trace::Trace::read(&strace.output, 0);
    let count = setting("FAULTS").unwrap_or(INSTANCES) as usize;
    let plan = Plan::new(&trace, &dry, count);
    let mut happened = 0;
    for instance in &plan.instances {
        eprintln!("{instance}");
        happened += usize::from(inject(&plan, instance, random));
    }
    assert!(
        happened * 2 > plan.instances.len(),
        "most faults happen: {happened} of {}",
        plan.instances.len()
    );
}
