//! The witnesses of the logs: from the trust file to the tasks that ask them.

use core::{fmt, time::Duration};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};

use super::{random::Random, tls};
use crate::{
    core::trust::{POLICY_BYTES_MAX, TrustPolicy},
    cosign::{self, Cosigners, endpoints},
    pipeline::{Pipeline, Publish, WitnessMeter, WitnessPlan},
};

/// Most witnesses of a trust file.
///
/// A checkpoint carries a line for each: 64 of the longest names make 24 KB of a note's 64 KiB, and stay
/// below the 100 lines that the reference implementation reads.
const WITNESSES_MAX: usize = 64;

/// Which witnesses the logs have, and how they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The trust file; without one no log has witnesses.
    pub trust: Option<PathBuf>,
    /// The certificate authorities of the witnesses, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The least time between two candidates of a log.
    pub interval: Duration,
    /// How long a witness has for an answer.
    pub timeout: Duration,
    /// What readers are shown.
    pub publish: Publish,
    /// What readers are shown of single logs, by origin.
    pub publish_of: BTreeMap<String, Publish>,
    /// Logs that may sign without their witnesses having been heard.
    pub sign_unheard: Vec<String>,
}

impl fmt::Display for Config {
    /// Writes the keys of the configuration file, each with a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(trust) = &self.trust {
            writeln!(f, "trust = {trust:?}")?;
        }
        if let Some(ca) = &self.ca {
            writeln!(f, "trust_ca = {ca:?}")?;
        }
        writeln!(f, "checkpoint_interval_ms = {}", self.interval.as_millis())?;
        writeln!(f, "witness_timeout_ms = {}", self.timeout.as_millis())?;
        writeln!(f, "publish = \"{}\"", self.publish)?;
        if !self.publish_of.is_empty() {
            let pair =
                |(origin, publish): (&String, &Publish)| format!("{origin:?} = \"{publish}\"");
            let pairs: Vec<String> = self.publish_of.iter().map(pair).collect();
            writeln!(f, "publish_of = {{ {} }}", pairs.join(", "))?;
        }
        Ok(())
    }
}

/// Reads the trust file, if there is one.
pub(super) fn plan(config: &Config) -> anyhow::Result<Option<WitnessPlan>> {
    let Some(path) = &config.trust else { return Ok(None) };
    let trust = read(path)?;
    let cosigned = config.publish == Publish::Cosigned
        || config.publish_of.values().any(|publish| *publish == Publish::Cosigned);
    ensure!(
        !cosigned || trust.has_quorum(),
        "the trust file {} says \"quorum none\", so no head would be more cosigned than another; name a \
         quorum, or say publish = \"signed\"",
        path.display()
    );
    Ok(Some(WitnessPlan {
        trust: Arc::new(trust),
        publish: config.publish,
        publish_of: config.publish_of.clone(),
        overridden: config.sign_unheard.clone(),
    }))
}

/// Reads a trust file.
fn read(path: &Path) -> anyhow::Result<TrustPolicy> {
    let size =
        fs::metadata(path).with_context(|| format!("read the trust file {}", path.display()))?;
    ensure!(
        usize::try_from(size.len()).is_ok_and(|bytes| bytes <= POLICY_BYTES_MAX),
        "the trust file {} has more than {POLICY_BYTES_MAX} bytes",
        path.display()
    );
    let text = fs::read_to_string(path)
        .with_context(|| format!("read the trust file {}", path.display()))?;
    let trust = TrustPolicy::parse(&text)
        .with_context(|| format!("the trust file {} is wrong", path.display()))?;
    ensure!(
        trust.witnesses().len() <= WITNESSES_MAX,
        "the trust file {} names {} witnesses; use {WITNESSES_MAX} at most",
        path.display(),
        trust.witnesses().len()
    );
    Ok(trust)
}

/// Makes what asks the witnesses of a plan.
pub(super) fn cosigners(
    plan: &WitnessPlan,
    config: &Config,
    evidence: PathBuf,
    pipeline: Pipeline,
    meter: WitnessMeter,
    random: &mut Random,
) -> anyhow::Result<Cosigners> {
    let tls = tls::client(config.ca.as_deref())?;
    let endpoints = endpoints(&plan.trust, &tls, config.timeout)
        .context("use the witnesses of the trust file")?;
    let config = cosign::Config { interval: config.interval, evidence };
    Ok(Cosigners::new(pipeline, config, endpoints, meter, random.key_seed()))
}
