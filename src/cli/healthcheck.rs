//! `healthcheck`: for images without a shell and curl.

use std::process::ExitCode;

use super::admin_client;
use super::options::Admin;
use super::terminal::complain;

/// Exits with 0 if the gate is ready.
pub(super) fn execute(admin: &Admin) -> ExitCode {
    match admin_client::get(admin.admin, "/readyz") {
        Ok((200, _)) => ExitCode::SUCCESS,
        Ok((status, _)) => {
            complain(&format!(
                "not ready: {} responded with status {status}",
                admin.admin
            ));
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&format!("not ready: {}: {error}", admin.admin));
            ExitCode::FAILURE
        }
    }
}
