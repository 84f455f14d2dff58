//! The administrator's kubeconfig.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use orc_api::pki::Pki;

use crate::args::ClusterArgs;
use crate::data_dir::DataDir;

/// Writes the file with mode 0600, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, url: &str, pki: &Pki) -> anyhow::Result<()> {
    let text = text(url, pki);
    let fresh = path.with_extension("new");
    let attempt = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let _ = fs::remove_file(&fresh);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    attempt().with_context(|| {
        format!("the kubeconfig {} cannot be written; choose another with --kubeconfig", path.display())
    })
}

/// Prints the kubeconfig of a cluster that has run before.
///
/// # Errors
/// When there is none.
pub fn print(args: &ClusterArgs) -> anyhow::Result<()> {
    let path = match &args.kubeconfig {
        Some(path) => path.clone(),
        None => DataDir::named(args)?.join("kubeconfig"),
    };
    let text = fs::read_to_string(&path).with_context(|| {
        format!("there is no kubeconfig at {}; start a cluster with `orc up` first", path.display())
    })?;
    anstream::print!("{text}");
    Ok(())
}

fn text(url: &str, pki: &Pki) -> String {
    let (ca, certificate, key) =
        (BASE64.encode(&pki.ca.certificate), BASE64.encode(&pki.admin.certificate), BASE64.encode(&pki.admin.key));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: orc\n\
         clusters:\n\
         - name: orc\n\
         \x20 cluster:\n\
         \x20   server: {url}\n\
         \x20   certificate-authority-data: {ca}\n\
         contexts:\n\
         - name: orc\n\
         \x20 context:\n\
         \x20   cluster: orc\n\
         \x20   user: orc-admin\n\
         users:\n\
         - name: orc-admin\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n"
    )
}
