//! Options shared by several commands.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::accepts::address_option;

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Admin {
    /// Address of the gate's admin listener
    #[arg(long, value_name = "ADDRESS", value_parser = address_option, default_value = "127.0.0.1:9901")]
    pub(super) admin: SocketAddr,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Admin address of a running gate: also report whether the file is in force there, and which changes need a
    /// restart
    #[arg(long, value_name = "ADDRESS", value_parser = address_option)]
    pub(super) against: Option<SocketAddr>,
}
