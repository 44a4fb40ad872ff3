//! Options that commands share.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// `--config FILE`.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    pub(super) config: PathBuf,
}

/// `--admin ADDRESS`.
#[derive(Debug, Args)]
pub(super) struct Admin {
    /// Where the gate listens for operators
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    pub(super) admin: SocketAddr,
}

/// `--config FILE --against ADDRESS`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file.
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The admin address of a running gate: say whether the file is in force there, and what of it needs a restart
    #[arg(long, value_name = "ADDRESS")]
    pub(super) against: Option<SocketAddr>,
}
