//! The hooks and jobs of `deploy/policy`: they can be read, and each command that they run exists.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

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

/// A repository with the hook, and with a policy that may be committed.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet"]);
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy/pre-commit");
        fs::create_dir_all(repository.path(".git/hooks")).unwrap();
        std::os::unix::fs::symlink(hook, repository.path(".git/hooks/pre-commit")).unwrap();
        let made = repository.run(env!("CARGO_BIN_EXE_attestree"), &["policy", "init", "policy"]);
        assert!(made.status.success());
        // What the hook thinks of the policy must not depend on the day of the test.
        repository.change("policy/policy.yaml", "review_by: 2027-06-30", "review_by: 9999-12-31");
        repository
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Runs a program that sees nothing of the machine's own configuration of git.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_attestree")).parent().unwrap().to_owned();
        let path = env::var_os("PATH").unwrap();
        let paths = [binary].into_iter().chain(env::split_paths(&path));
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env_clear().env("PATH", env::join_paths(paths).unwrap());
        command.env("HOME", self.0.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        for (name, value) in [("NAME", "a"), ("EMAIL", "a@example.com")] {
            command.env(format!("GIT_AUTHOR_{name}"), value);
            command.env(format!("GIT_COMMITTER_{name}"), value);
        }
        command.args(arguments).output().unwrap()
    }

    fn git(&self, arguments: &[&str]) {
        let done = self.run("git", arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Replaces a text of a file.
    fn change(&self, path: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(old), "{path} has no {old}");
        fs::write(self.path(path), text.replace(old, new)).unwrap();
    }

    /// Commits what is staged; returns what was said if the hook refused it.
    fn commit(&self) -> Option<String> {
        let done = self.run("git", &["commit", "--quiet", "-m", "x"]);
        let said = [done.stdout, done.stderr].concat();
        (!done.status.success()).then(|| String::from_utf8(said).unwrap())
    }
}

#[test]
fn the_hook_checks_what_is_staged_and_not_what_lies_about() {
    let repository = Repository::new();
    repository.git(&["add", "policy"]);
    assert_eq!(repository.commit(), None);

    // A fault that is staged is found, although it was mended since.
    repository.change("policy/policy.yaml", "on_violation: quarantine", "on_violation: quarantin");
    repository.git(&["add", "policy"]);
    repository.change("policy/policy.yaml", "quarantin\n", "quarantine\n");
    let said = repository.commit().expect("the index has a fault");
    assert!(said.contains("did you mean 'quarantine'?"), "{said}");
    assert!(said.contains("policy/policy.yaml:"), "{said}");

    // A fault that is not staged does not matter, and neither does a file that git does not know.
    repository.git(&["add", "policy"]);
    repository.change("policy/policy.yaml", "count: 5", "count: 6");
    repository.git(&["add", "policy"]);
    let said = repository.commit().expect("a scenario has five logins");
    assert!(said.contains("five failed logins"), "{said}");
    repository.change("policy/policy.yaml", "count: 6", "count: 5");
    repository.change("policy/policy.yaml", "without secrets", "without any secrets");
    repository.git(&["add", "policy"]);
    repository.change("policy/policy.yaml", "apiVersion", "apiVersio");
    fs::write(repository.path("policy/new.yaml"), "class: {}\n").unwrap();
    assert_eq!(repository.commit(), None);
    repository.change("policy/policy.yaml", "apiVersio", "apiVersion");
    repository.change("policy/policy.yaml", "count: 5", "count:   5   ");
    repository.git(&["add", "policy/policy.yaml"]);
    let said = repository.commit().expect("spaces stand at the end of a line");
    assert!(said.contains("attestree policy fmt policy, and git add"), "{said}");

    // What is no part of the policy is not looked at, and a policy may go.
    fs::write(repository.path("other"), "x").unwrap();
    repository.git(&["add", "other"]);
    repository.git(&["rm", "-r", "--quiet", "--cached", "policy"]);
    assert_eq!(repository.commit(), None);
}
