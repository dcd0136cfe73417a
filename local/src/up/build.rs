use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;
use stepwell_sandbox::{Checkout, stack::FUNCTIONS};

use crate::command::CommandError;

/// Builds the functions' binaries, with cargo's progress on standard error, and returns the folder that they are in.
///
/// Of all selections this is the one that shares every dependency with `cargo run --bin stepwell`: the functions' own
/// crates and the AWS SDK are all that comes on top.
pub(crate) fn functions(checkout: &Checkout) -> Result<PathBuf, CommandError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--message-format=json-render-diagnostics", "--features", "lambda"]);
    command.args(FUNCTIONS.iter().flat_map(|name| ["--bin", name])).current_dir(checkout.root());
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| CommandError::Failed(format!("cannot start {}: {error}", cargo.display())))?;
    if !output.status.success() {
        return Err(CommandError::Failed(format!(
            "the functions cannot be built: cargo failed with {}",
            output.status
        )));
    }
    folder(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| CommandError::Failed("cargo does not say where the functions are".to_owned()))
}

/// The folder of the functions that cargo says it has made.
fn folder(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| {
        let is_function = FUNCTIONS.contains(&message["target"]["name"].as_str()?);
        let executable = PathBuf::from(message["executable"].as_str()?);
        is_function.then(|| executable.parent().map(PathBuf::from)).flatten()
    });
    // All are in one folder.
    executables.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_executables() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"stepwell_extract","kind":["lib"]},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"build-script-build"},"executable":"/t/release/build/x"}
            {"reason":"compiler-artifact","target":{"name":"extract","kind":["bin"]},"executable":"/t/release/extract"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(folder(messages), Some(PathBuf::from("/t/release")));
        assert_eq!(folder(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
