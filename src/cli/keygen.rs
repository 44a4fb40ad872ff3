//! `keygen`: makes a key for a store that encrypts its records.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::terminal::{START, complain};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The file to create, readable by its owner only; an existing file is not replaced. Without it, the key goes to
    /// standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn execute(options: &Options) -> ExitCode {
    let mut key = Zeroizing::new([0; 32]);
    if let Err(error) = SysRng.try_fill_bytes(&mut *key) {
        complain(&format!(
            "pkce-gate keygen: no random bytes available: {error}"
        ));
        return ExitCode::from(START);
    }
    let mut line = Zeroizing::new(STANDARD.encode(*key));
    line.push('\n');
    let written = match &options.output {
        Some(file) => create(file, &line),
        None => io::stdout().lock().write_all(line.as_bytes()),
    };
    match (written, &options.output) {
        (Ok(()), _) => ExitCode::SUCCESS,
        (Err(error), Some(file)) => {
            complain(&format!(
                "pkce-gate keygen: cannot create {}: {error}",
                file.display()
            ));
            ExitCode::from(START)
        }
        (Err(_), None) => ExitCode::from(START),
    }
}

fn create(file: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::key_of;

    #[test]
    fn a_key_file_is_private_and_never_replaced() {
        let file = std::env::temp_dir().join(format!("pkce-gate-keygen-{}", std::process::id()));
        let options = Options {
            output: Some(file.clone()),
        };
        assert_eq!(execute(&options), ExitCode::SUCCESS);
        let text = fs::read(&file).unwrap();
        let key = key_of(&text).unwrap();
        assert_ne!(*key, [0; 32]);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(execute(&options), ExitCode::from(START));
        assert_eq!(fs::read(&file).unwrap(), text);
        fs::remove_file(file).unwrap();
    }
}
