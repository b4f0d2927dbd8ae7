//! Five failed logins reach a webhook: the whole way, with the server as a process of its own.

use std::time::Instant;

use attestree::{
    client::{Client, Server},
    core::number::LeafIndex,
};

use super::{FAILED, POLICY, index, receiver::Receiver, recorded, send};
use crate::{
    crash::{process, site::Site},
    events::apply_at,
};

/// The log.
const AUDIT: &str = "alert.example/audit";

/// A server as a process of its own, with sinks that a file names.
pub(super) struct Place {
    pub(super) site: Site,
}

impl Place {
    /// Makes the log, and the configuration with one webhook.
    pub(super) fn new(receiver: &Receiver) -> Self {
        let site = Site::new();
        let data = site.data();
        let made = site.run(&[
            "init",
            "--data",
            data.to_str().unwrap(),
            "--origin",
            AUDIT,
            "--kind",
            "audit",
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = format!(
            "[[alerts]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://{}/\"\ntimeout_seconds = 5\n",
            receiver.address()
        );
        std::fs::write(site.scratch("attestree.toml"), text).unwrap();
        Self { site }
    }

    /// Serves.
    pub(super) fn serve(&self, run: usize) -> process::Server {
        let (data, config) = (self.site.data(), self.site.scratch("attestree.toml"));
        let arguments = [
            "serve",
            "--data",
            data.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--config",
            config.to_str().unwrap(),
        ];
        let stderr = self.site.scratch(&format!("stderr-{run}"));
        process::Server::spawn(&arguments, &[], None, stderr).expect_listening()
    }

    /// Puts a policy into force.
    pub(super) async fn apply(&self, policy: &str) {
        apply_at(self.site.data().join("admin.sock"), policy).await.unwrap();
    }
}

#[tokio::test]
async fn five_failed_logins_reach_a_webhook_and_their_alert_is_proved() {
    let mut receiver = Receiver::start(&[]).await;
    let place = Place::new(&receiver);
    let mut server = place.serve(0);
    place.apply(POLICY).await;
    let url = server.url();
    let mut delays = Vec::new();
    for _ in 0..8 {
        for _ in 0..4 {
            send(&url, FAILED).await;
        }
        assert_eq!(receiver.rest().len(), 0, "four are not five");
        let fifth = Instant::now();
        send(&url, FAILED).await;
        let seen = receiver.next().await;
        delays.push(seen.at - fifth);
        let body = seen.json();
        assert_eq!((&body["rule"], &body["count"]), (&recorded_rule(&url).await, &5.into()));

        // What the message names is in the log, as its receiver finds out for itself.
        let address = Server::parse(&url).unwrap();
        let client = Client::connect(&address, None, None).await.unwrap();
        let proved = client.prove_inclusion(LeafIndex::new(index(&seen)).unwrap()).await.unwrap();
        assert_eq!(body["leaf_hash"], proved.leaf_hash.to_base64());
    }
    assert_eq!(recorded(&url).await.len(), 8, "and nothing else is one");
    delays.sort_unstable();
    println!("from the fifth event to the webhook: median {:?}, worst {:?}", delays[4], delays[7]);
    assert!(server.stop().success());
}

/// Returns the rule of the newest alert.
async fn recorded_rule(url: &str) -> serde_json::Value {
    recorded(url).await.pop().unwrap().1["ctx"]["rule"].clone()
}
