//! The processor that the binary was compiled for.

/// The features of x86-64-v2 beyond those of every x86-64, as `/proc/cpuinfo` spells them.
const X86_64_V2: [&str; 7] = ["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"];

/// The processor lacks instructions that this binary uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this binary is built for x86-64-v2 and the processor lacks {}; use a machine from 2010 or later, \
     or build with another target-cpu in .cargo/config.toml",
    .missing.join(", ")
)]
pub struct ProcessorTooOld {
    missing: Vec<&'static str>,
}

/// Checks what `/proc/cpuinfo` says, before the first instruction that might be missing runs.
///
/// The compiler's own detection is no use here: for features that the binary is compiled with it
/// answers "yes" without asking the processor.
pub fn check(cpuinfo: &str) -> Result<(), ProcessorTooOld> {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    // A system that does not tell (or another architecture) is given the benefit of the doubt.
    let Some((_, flags)) = flags else { return Ok(()) };
    let has = |feature: &&str| flags.split_ascii_whitespace().any(|flag| flag == *feature);
    let missing: Vec<_> = X86_64_V2.into_iter().filter(|feature| !has(feature)).collect();
    if missing.is_empty() { Ok(()) } else { Err(ProcessorTooOld { missing }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_named() {
        let modern = "processor\t: 0\nflags\t\t: fpu cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3\n";
        assert_eq!(check(modern), Ok(()));
        assert_eq!(check("Features : fp asimd\n"), Ok(()));
        let old = modern.replace("sse4_2 ", "");
        assert_eq!(check(&old), Err(ProcessorTooOld { missing: vec!["sse4_2"] }));
    }
}
