//! What witnesses do about a second history: they don't sign it, and say who did.

use anyhow::{Context as _, bail, ensure};
use owo_colors::OwoColorize as _;

use super::{Guide, Held, stage::Scene, stage::Stage};
use crate::client::AddCheckpointAnswer;
use crate::core::evidence::{Evidence, Judgement};
use crate::core::trust::TrustError;

/// Shows that the forged log gets no witness, and is convicted by what one of them wrote.
///
/// Returns the evidence.
pub(super) fn split_view(
    guide: &mut Guide,
    scene: &Scene,
    stage: &Stage,
    held: &Held,
) -> anyhow::Result<Vec<u8>> {
    guide.step("What stops him: witnesses")?;
    guide.say("   He shows his copy to others, and asks the witnesses to sign it like yours.")?;
    let (shown, _audited) = scene.audit()?;
    let answers = stage.ask_witnesses(&shown)?;
    for (name, answer) in &answers {
        let AddCheckpointAnswer::Refused { text, .. } = answer else {
            bail!("{name} signed a second history: {answer:?}");
        };
        let reason = text.lines().next().unwrap_or_default();
        guide.say(format!("   {name}:  {}", reason.red()))?;
    }
    let quorum = stage.quorum()?;
    ensure!(
        matches!(quorum.verify_checkpoint(shown.note()), Err(TrustError::Quorum { .. })),
        "a client that wants two witnesses refuses the copy"
    );
    let yours = quorum.verify_checkpoint(held.newest.note()).context("verify your checkpoint")?;
    guide.proved(format!("{} witnesses signed your tree", yours.witnesses.len()))?;
    guide.contradicts(format!(
        "0 of {} signed his; who asks for two of them never takes it for the log",
        answers.len()
    ))?;

    guide.step("What everyone may know: evidence")?;
    let (name, _) = answers.first().context("there are witnesses")?;
    let file = stage.evidence(name)?;
    guide.say(format!("   {name} has kept both signatures, in one file:"))?;
    for line in String::from_utf8_lossy(&file).lines() {
        guide.say(format!("   | {line}").dimmed())?;
    }
    let evidence = Evidence::parse(&file).context("read the evidence")?;
    match evidence.judge(&stage.policy()) {
        Judgement::Guilty { contradiction, .. } => {
            guide.proved("verified offline, from this file and the log's public key alone")?;
            guide.contradicts(format!("guilty: it {contradiction}"))?;
        }
        other => bail!("the evidence does not convict: {other:?}"),
    }
    Ok(file)
}
