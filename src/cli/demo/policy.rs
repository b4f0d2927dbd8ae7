//! A log of audit events: what its policy does to them, and how a policy that was changed behind one's back
//! is found.

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use owo_colors::OwoColorize as _;

use super::{Guide, shorten, stage::AuditScene};
use crate::cli::policy::STARTER;
use crate::cli::remote::block_on;
use crate::client::{Became, Client, ClientError, NewEntry, Recorded};
use crate::core::policy::Bundle;
use crate::core::record::{PolicyDigest, Verdict};
use crate::policy::{diff, read_document};

/// An event that lacks nothing, and has a card's number in it that belongs to nobody.
const PAYMENT: &str = r#"{"act":"data.export","out":"success","ot":"2026-11-21T12:00:00Z","actor":{"id":"alice"},"resource":{"id":"orders"},"ctx":{"note":"paid with 4111 1111 1111 1111"}}"#;

/// The number in it.
const CARD: &str = "4111 1111 1111 1111";

/// An event of a class that demands more than it says.
const DEPLOYMENT: &str = r#"{"act":"deploy.start","out":"success","actor":{"id":"bob"}}"#;

/// An event of a class that the policy does not know.
const UNKNOWN: &str = r#"{"act":"coffee.brew","class":"kitchen"}"#;

/// What the tour found.
pub(super) struct Found {
    /// The policy that everyone agreed on.
    pub(super) agreed: PolicyDigest,
    /// The one that is in force in the end.
    pub(super) in_force: PolicyDigest,
}

/// Shows what a policy does, and finds that another took its place.
pub(super) fn tour(guide: &mut Guide, scene: &AuditScene) -> anyhow::Result<Found> {
    let agreed = enforce(guide, scene)?;
    drift(guide, scene, &agreed)
}

/// Applies a policy and sends three events.
fn enforce(guide: &mut Guide, scene: &AuditScene) -> anyhow::Result<Bundle> {
    guide.step("A policy, enforced where events come in")?;
    let agreed = bundle("unknown_class: warn", "unknown_class: reject")?;
    let index = scene.apply(&agreed)?;
    guide
        .say("   Another log holds audit events. Its policy is a folder in git, and in the log:")?;
    guide.say(format!("   {}, by the record at index {index}", agreed.digest()).dimmed())?;
    block_on(async {
        let client = scene.connect().await?;
        blocked(guide, &client).await?;
        quarantined(guide, &client).await?;
        redacted(guide, &client).await
    })?;
    Ok(agreed)
}

/// Sends an event that the policy rejects.
async fn blocked(guide: &Guide, client: &Client) -> anyhow::Result<()> {
    guide.say(format!("   An event of no known class:  {}", shorten(&Bytes::from(UNKNOWN))))?;
    match send(client, UNKNOWN).await {
        Err(ClientError::Refused(refused)) if refused.is_verdict() => {
            let rules = refused.details.get("rules").map_or("", String::as_str);
            guide.proved(format!("blocked by the rule {rules}; nothing of it is kept"))
        }
        Err(error) => Err(error.into()),
        Ok(_) => bail!("the policy lets an event of an unknown class in"),
    }
}

/// Sends an event that lacks what its class demands.
async fn quarantined(guide: &Guide, client: &Client) -> anyhow::Result<()> {
    let shown = shorten(&Bytes::from(DEPLOYMENT));
    guide.say(format!("   A deployment that nobody approved:  {shown}"))?;
    let recorded = send(client, DEPLOYMENT).await?.context("find the record of the deployment")?;
    ensure!(recorded.echo.verdict == Verdict::Quarantine, "the deployment is quarantined");
    let rules = recorded.echo.rules.join(", ");
    guide.proved(format!("quarantined: in the log as a commitment, because of {rules}"))
}

/// Sends an event of which the policy takes something out.
async fn redacted(guide: &Guide, client: &Client) -> anyhow::Result<()> {
    guide.say(format!("   A note with the number of a card:  {}", CARD.red()))?;
    let recorded = send(client, PAYMENT).await?.context("find the record of the export")?;
    ensure!(recorded.echo.verdict == Verdict::Accept, "the export is accepted");
    let entry = String::from_utf8_lossy(&recorded.entry).into_owned();
    ensure!(!entry.contains("4111"), "the number is not in the record");
    let note = entry.split(r#""note":"#).nth(1).and_then(|rest| rest.split('}').next());
    guide
        .say(format!("   | \"note\":{}", note.context("find the note in the record")?).dimmed())?;
    guide.proved("redacted before anything was written; the record says where")
}

/// Puts a weaker policy into force and finds it.
fn drift(guide: &mut Guide, scene: &AuditScene, agreed: &Bundle) -> anyhow::Result<Found> {
    guide.step("A policy that changed behind your back")?;
    scene.apply(&bundle("on_violation: quarantine", "on_violation: warn")?)?;
    guide.say(
        "   At night the operator applies another policy. You hold the folder, and ask the log.",
    )?;
    let governing = block_on(async { Ok(scene.connect().await?.governing().await?) })?;
    let policy = governing.policy.context("find the policy in force")?;
    let (agreed_digest, in_force) = (agreed.digest(), policy.record.digest);
    ensure!(agreed_digest != in_force, "another policy is in force");
    guide.say(format!("   your folder:  {}", agreed_digest.green()))?;
    guide.say(format!("   the log:      {}", in_force.red()))?;
    let read = |bundle| read_document(bundle).map_err(|_| anyhow::anyhow!("read the policy"));
    let changes = diff::diff(&read(agreed)?.0, &read(&policy.bundle)?.0);
    let weaker = changes.iter().find(|change| change.direction.may_weaken());
    let weaker = weaker.context("find what became weaker")?;
    guide.contradicts(format!(
        "drift: since index {} the {} {}, and the record of it can't be taken back",
        policy.index, weaker.subject, weaker.what
    ))?;
    Ok(Found { agreed: agreed_digest, in_force })
}

/// Sends an event; returns its record, which was checked.
async fn send(client: &Client, event: &'static str) -> Result<Option<Recorded>, ClientError> {
    let event = NewEntry { bytes: Bytes::from(event), key: Bytes::new() };
    match client.append_event(event).await?.became {
        Became::Recorded(recorded) => Ok(Some(*recorded)),
        Became::Before | Became::Suppressed => Ok(None),
    }
}

/// Returns the policy to begin with, in which one line is another.
fn bundle(line: &str, other: &str) -> anyhow::Result<Bundle> {
    let file =
        |(path, text): &(&str, &str)| ((*path).to_owned(), text.replace(line, other).into_bytes());
    Bundle::new(STARTER.iter().map(file)).context("put the policy together")
}
