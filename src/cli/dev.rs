//! `attestree dev`: a log with three witnesses, to try things out.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::output::Output;
use super::remote::origin;
use crate::core::origin::Origin;
use crate::server::dev::{Config, Dev, begin};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One process, which Ctrl-C ends with all that belongs to it. The same command goes on where it ended,
with the same keys and, as long as they are free, the same ports. Log and witnesses share a disk and
an operator here: good for trying things out, and no protection from that operator.

Examples:
  attestree dev
  attestree dev --data /tmp/try --listen 127.0.0.1:6962")]
pub(super) struct Args {
    /// Directory of the log, the witnesses and the trust file
    #[arg(long, value_name = "DIR", default_value = "attestree-dev")]
    data: PathBuf,
    /// Origin of the log, the first time
    #[arg(long, value_name = "ORIGIN", default_value = "dev.example/log", value_parser = origin)]
    origin: Origin,
    /// Address of the log [default: that of the last time, or a free port of this machine]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// What runs, as JSON.
#[derive(Debug, Serialize)]
struct Begun {
    origin: String,
    vkey: String,
    url: String,
    witnesses: Vec<BegunWitness>,
    trust: String,
    commands: Vec<String>,
}

/// One of the witnesses, as JSON.
#[derive(Debug, Serialize)]
struct BegunWitness {
    name: String,
    vkey: String,
    url: String,
}

/// Runs log and witnesses until it is told to stop.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let Args { data, origin, listen } = args;
    let dev = begin(&Config { data: data.clone(), origin, listen })?;
    let begun = describe(&dev, &data);
    let printed = dev.wait(|| output.print(&begun, text(&begun)));
    let stopped = dev.stop();
    printed.and(stopped)
}

/// Says what runs.
fn describe(dev: &Dev, data: &Path) -> Begun {
    let url = format!("http://{}", dev.address());
    let witnesses = dev.witnesses().list().map(|(name, vkey, address)| BegunWitness {
        name: name.to_owned(),
        vkey: vkey.to_string(),
        url: format!("http://{address}"),
    });
    Begun {
        origin: dev.vkey().name().as_str().to_owned(),
        vkey: dev.vkey().to_string(),
        commands: commands(&url, data, dev.trust()),
        url,
        witnesses: witnesses.collect(),
        trust: dev.trust().display().to_string(),
    }
}

/// Returns five commands that show what witnesses are for, each of which works as it stands.
fn commands(url: &str, data: &Path, trust: &Path) -> Vec<String> {
    let trust = quoted(trust);
    let there = format!("--server {url} --trust {trust}");
    vec![
        format!("printf 'one\\ntwo\\nthree\\n' | attestree append {there}"),
        format!("attestree receipt 0 --cosigned {there} -o 0.tlog-proof"),
        format!(
            "attestree entry 0 {there} | attestree verify 0.tlog-proof --entry - --trust {trust}"
        ),
        format!(
            "attestree monitor {url} --trust {trust} --state {}",
            quoted(&data.join("monitor"))
        ),
        format!("attestree witness status --data {}", quoted(&data.join("witness-1"))),
    ]
}

/// Returns a path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Says it to people.
fn text(begun: &Begun) -> String {
    let Begun { origin, vkey, url, witnesses, trust, commands } = begun;
    let mut lines = vec![format!("log        {url}  {origin}"), format!("           {vkey}")];
    for BegunWitness { name, vkey, url } in witnesses {
        lines.push(format!("{name}  {url}"));
        lines.push(format!("           {vkey}"));
    }
    lines.push(format!("trust      {trust}  (2 of the 3 witnesses)"));
    lines.push("\nTo try, in another terminal:".to_owned());
    lines.extend(commands.iter().map(|command| format!("  {command}")));
    lines.push("\nCtrl-C stops the log and its witnesses.".to_owned());
    lines.join("\n")
}
