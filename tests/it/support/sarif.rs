//! Microsoft's validator of SARIF, with the rules of the standard and those of GitHub's code scanning. It exists for one
//! architecture only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::fixture::packaged;

/// The lines with errors and warnings about a file.
pub(crate) fn complaints(path: &Path) -> Vec<String> {
    /// The manual has no address on the web yet.
    const NO_ADDRESS: &str = "SARIF2005";
    let tool = packaged("@microsoft/sarif-multitool-linux/Sarif.Multitool");
    // The package makes it executable in a script, and no package's script runs here.
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(tool)
        .args(["validate", "--rule-kind", "Sarif;Ghas"])
        .arg(path)
        .env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1")
        .output()
        .expect("the validator starts");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("1 files scanned"), "{told}");
    let lines = told.lines().filter(|line| {
        let is_found = line.contains(": error ") || line.contains(": warning ");
        is_found && !line.contains(NO_ADDRESS)
    });
    lines.map(str::to_owned).collect()
}
