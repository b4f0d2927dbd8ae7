//! Published vectors of the transparency-log formats, and keys made from fixed seeds.
//!
//! The vectors of golang.org/x/mod, C2SP, Tessera and Sunlight are theirs. The end-to-end vector
//! (a log of five entries, `leaf 0` to `leaf 4`, with one witness) was made with another
//! implementation of Ed25519 and SHA-256 than ours.

use attestree::core::{
    hash::TreeHash,
    note::{CosignatureTime, CosigningKey, KeyName, SigningKey, VerifierKey},
};

/// golang.org/x/mod: the text that both keys have signed.
pub(crate) const PROVERB: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
pub(crate) const PETER_VKEY: &str =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
pub(crate) const PETER_SKEY: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
pub(crate) const PETER_LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
pub(crate) const ENOCH_VKEY: &str =
    "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
pub(crate) const ENOCH_LINE: &str = "\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

/// c2sp.org/signed-note.
pub(crate) const C2SP_VKEY: &str =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
pub(crate) const C2SP_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The Go checksum database, whose base64 holds a `+`.
pub(crate) const SUMDB_VKEY: &str =
    "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// Tessera's test log.
pub(crate) const TESSERA_VKEY: &str =
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
pub(crate) const TESSERA_SKEY: &str =
    "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg";

/// Sunlight's test witness, whose seed is the SHA-256 of `skylight test witness key`.
pub(crate) const SKYLIGHT_VKEY: &str =
    "witness.example.org+b8a2cf20+BFLN3yikSfFkVAJtrnh/CiY3Zozkoy7clp+P7XB28qUN";
pub(crate) const SKYLIGHT_TEXT: &str =
    "rome2026h1.example.org\n300\nlCkHUpkmVBEms2r2T1K6Og69+wUuuN3MIEW1/ezu2v0=\n";
pub(crate) const SKYLIGHT_LINE: &str = "\u{2014} witness.example.org uKLPIAAAAABpVGeAhm2bOvKc3LaB9PFN1ruG19Y5yqslmcAAbhftnn1Zznmo0LXFZq4LGvqKqLX8jWlwLKasxEGTLIqAVusneCBmBw==\n";

/// The time of both published cosignatures: 31 December 2025, 00:00 UTC.
pub(crate) const COSIGNATURE_SECONDS: u64 = 1_767_139_200;

/// The end-to-end vector.
pub(crate) const LOG_VKEY: &str =
    "example.com/vector-log+5853a898+AdNnO/eaYELmpXi5YKlhnnDBvHrRrmiMyjRbjNUdQ370";
pub(crate) const LOG_SKEY: &str =
    "PRIVATE+KEY+example.com/vector-log+5853a898+AVq6N69yaFdlvrQWsEX/S5nFuEZ1BtFIR6bf1CE20MXn";
pub(crate) const WITNESS_VKEY: &str =
    "witness.example/vector+94cd2879+BOe3/QloEK2hfvaa6JT+0yBQZFB52pCAsESwmnLWGGfL";
pub(crate) const CHECKPOINT_TEXT: &str =
    "example.com/vector-log\n5\nNBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=\n";
/// The root of that checkpoint.
pub(crate) const CHECKPOINT_ROOT: &str = "NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=";
pub(crate) const LOG_LINE: &str = "\u{2014} example.com/vector-log WFOomFAIYi2lPazqV8OYkS8BA3STBwbv2Ciw9nSLI/fu+c1n2lBE3tTsqbzMFpxXBt46135DGvbwENefRFTtFeWtdgc=\n";
pub(crate) const WITNESS_LINE: &str = "\u{2014} witness.example/vector lM0oeQAAAABpVGeAyQWwYS6FGu7svpHFgxcHfDz69EiOrL1pEJn3aZYQc+deqWJx5dSiCTnCyhnCRh235ndDQb347g+ai+HqQhStBw==\n";

/// The entry at index 2 of the end-to-end vector.
pub(crate) const ENTRY: &[u8] = b"leaf 2";

/// The inclusion proof of that entry in the tree of five.
pub(crate) const INCLUSION: [&str; 3] = [
    "WL0UluFoSqySAcLmh+565PUclqiw2B7zWDYouT0800U=",
    "/F9riP+FVPdbsvnm85wxsZNtRLaSdu33sSBalVuXYeM=",
    "gxFfiUeVX6/cKifn9MCFS72Nonuxs+NAXbVxya+Nvho=",
];

/// Returns the proverb with the given signature lines.
pub(crate) fn proverb(lines: &str) -> String {
    format!("{PROVERB}\n{lines}")
}

/// Parses a vkey of this file.
pub(crate) fn vkey(text: &str) -> VerifierKey {
    VerifierKey::parse(text).unwrap()
}

/// Returns the key of the end-to-end vector's log.
pub(crate) fn log_key() -> SigningKey {
    signing_key("example.com/vector-log", "tlog vector log key")
}

/// Returns the key of the end-to-end vector's witness.
pub(crate) fn witness_key() -> CosigningKey {
    cosigning_key("witness.example/vector", "tlog vector witness key")
}

/// Makes a log's key from the SHA-256 of a phrase.
pub(crate) fn signing_key(name: &str, phrase: &str) -> SigningKey {
    let seed = TreeHash::digest(phrase.as_bytes());
    SigningKey::from_seed(KeyName::parse(name).unwrap(), seed.as_bytes())
}

/// Makes a witness's key from the SHA-256 of a phrase.
pub(crate) fn cosigning_key(name: &str, phrase: &str) -> CosigningKey {
    let seed = TreeHash::digest(phrase.as_bytes());
    CosigningKey::from_seed(KeyName::parse(name).unwrap(), seed.as_bytes())
}

/// Returns the time of the published cosignatures.
pub(crate) fn cosignature_time() -> CosignatureTime {
    CosignatureTime::new(COSIGNATURE_SECONDS).unwrap()
}

/// Returns the end-to-end vector's checkpoint with both signatures.
pub(crate) fn checkpoint_note() -> String {
    [CHECKPOINT_TEXT, "\n", LOG_LINE, WITNESS_LINE].concat()
}

/// Returns a policy that wants both signatures.
pub(crate) fn policy_text() -> String {
    format!("log {LOG_VKEY}\nwitness vector {WITNESS_VKEY}\nquorum vector\n")
}

/// Returns the receipt of [`ENTRY`].
pub(crate) fn receipt_text() -> String {
    let proof = INCLUSION.join("\n");
    format!("c2sp.org/tlog-proof@v1\nindex 2\n{proof}\n\n{}", checkpoint_note())
}
