//! The hooks and jobs of `deploy/policy`: they can be read, and each command that they run exists.

use std::{fs, path::Path, process::Command};

/// Returns the text of a file.
fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy").join(name))
        .unwrap()
}

/// Returns the words of every `attestree` command of a script, up to where the shell takes over.
fn commands(text: &str) -> Vec<Vec<String>> {
    let code = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut commands = Vec::new();
    for line in code {
        let Some((before, rest)) = line.split_once("attestree policy ") else { continue };
        // Not a word of a message.
        if before.contains("echo") {
            continue;
        }
        let words = rest.split_whitespace().take_while(|word| !matches!(*word, "||" | ">" | "|"));
        commands.push(words.map(str::to_owned).collect());
    }
    commands
}

#[test]
fn every_command_of_a_hook_or_job_exists() {
    for (name, count) in [("pre-commit", 3), ("github.yaml", 5), ("gitlab.yaml", 4)] {
        let commands = commands(&read(name));
        assert_eq!(commands.len(), count, "{name}: {commands:?}");
        for words in commands {
            let help = Command::new(env!("CARGO_BIN_EXE_attestree"))
                .args(["policy", &words[0], "--help"])
                .output()
                .unwrap();
            assert!(help.status.success(), "{name}: policy {} is no verb", words[0]);
            let help = String::from_utf8(help.stdout).unwrap();
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(flag.as_str()), "{name}: policy {} has no {flag}", words[0]);
            }
        }
    }
}

#[test]
fn jobs_are_yaml_with_the_jobs_in_it() {
    let github: serde_json::Value = serde_saphyr::from_str(&read("github.yaml")).unwrap();
    assert!(github["jobs"]["policy"]["steps"].as_array().unwrap().len() > 5);
    let gitlab: serde_json::Value = serde_saphyr::from_str(&read("gitlab.yaml")).unwrap();
    assert_eq!(gitlab["audit-policy"]["script"].as_array().unwrap().len(), 5);
}

#[test]
fn the_hook_is_a_shell_script() {
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy/pre-commit");
    let checked = Command::new("sh").arg("-n").arg(&hook).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(hook).unwrap().permissions());
    assert_eq!(mode & 0o111, 0o111);
}
