//! `ca`: a file with the certificates that a connection trusts.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::context::Context;
use super::problem::Problem;
use super::tree::Table;
use super::wording::quoted;

/// Reports a file that cannot be read, or contains no certificate.
pub(super) fn check(table: &Table<'_>, file: &Path, context: &Context<'_>) {
    let label = match context.read(file) {
        Err(error) => error.to_string(),
        Ok(pem) => match CertificateDer::pem_slice_iter(&pem).next() {
            Some(Ok(_)) => return,
            Some(Err(error)) => error.to_string(),
            None => "it contains no certificate".to_owned(),
        },
    };
    let message = format!("{} cannot be used", quoted(&file.display().to_string()));
    let help = "write the path of a PEM file with CERTIFICATE blocks; relative paths begin beside this file";
    table.push(Problem::error(table.at("ca"), message, label, help));
}
