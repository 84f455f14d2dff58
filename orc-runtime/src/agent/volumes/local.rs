//! Folders of this node that stand behind persistent volumes of the provisioner `orc.dev/local-path`.
//!
//! They are made and removed through the node's HTTP API, by the loop that makes and removes the volumes:
//! `PUT /localVolumes/{volume}` answers with the path, `DELETE /localVolumes/{volume}` once nothing is left. A folder that is missing
//! later is an error and never made anew: an empty folder in the place of somebody's data would be found out too late.
//! A simulated node answers the same and touches no disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use http::request::Parts;
use http::{Method, Response, StatusCode};
use orc_core::validation::names;
use orc_core::{ApiError, Reason};
use orc_store::dialer::{Body, ControlPlane};
use serde_json::json;

use super::super::context::Context;
use super::super::http::respond;
use super::payload;

const FOLDER: &str = "local-volumes";
/// What is being removed is not a volume any more, whatever is left of it.
const GOING: &str = ".removed-";
/// Where a simulated node says that its folders are.
const NOWHERE: &str = "/var/lib/orc/simulated";

/// Answers a request for the folder of a volume.
///
/// # Errors
/// A caller that is not the control plane itself, a name that is none, another method, or what the file system said.
pub(in super::super) async fn answer(
    context: &Context,
    request: &Parts,
    volume: &str,
) -> Result<Response<Body>, ApiError> {
    // Whoever may use `nodes/proxy` reads logs and runs commands; the folders of everybody's data are another matter.
    if request.extensions.get::<ControlPlane>().is_none() {
        let why = "local volumes are made and removed by the control plane alone; use a PersistentVolumeClaim";
        return Err(ApiError::forbidden("", "persistentvolumes", volume, why));
    }
    let method = &request.method;
    // It becomes a part of a path.
    if let Some(why) = names::dns1123_subdomain(volume).into_iter().next() {
        return Err(ApiError::bad_request(format!("invalid volume name {volume:?}: {why}")));
    }
    let real = context.config.data_dir.clone();
    let home = real.clone().unwrap_or_else(|| NOWHERE.into()).join(FOLDER);
    let path = home.join(volume);
    let name = volume.to_owned();
    let done = match (method, real.is_some()) {
        (&Method::PUT | &Method::DELETE, false) => Ok(()),
        (&Method::PUT, true) => blocking(move || make(&home.join(name))).await,
        (&Method::DELETE, true) => blocking(move || remove(&home, &name)).await,
        _ => return Err(ApiError::new(Reason::MethodNotAllowed, format!("{method} of a local volume is not served"))),
    };
    done.map_err(|why| ApiError::internal(format!("local volume {}: {why}", path.display())))?;
    Ok(respond(StatusCode::OK, "application/json", json!({ "path": path }).to_string().into()))
}

async fn blocking(work: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// Makes the folder, open to whatever user a container runs as. One that is there is left as it is.
fn make(path: &Path) -> Result<(), String> {
    let home = path.parent().unwrap_or(path);
    fs::create_dir_all(home).map_err(|error| error.to_string())?;
    match fs::create_dir(path) {
        Ok(()) => payload::own(path, 0o777, None),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Removes the folder: first its name, in one step, then what is in it.
fn remove(home: &Path, volume: &str) -> Result<(), String> {
    let going: PathBuf = home.join(format!("{GOING}{volume}"));
    // What an agent that was killed left of it.
    clear(&going)?;
    match fs::rename(home.join(volume), &going) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| error.to_string())?,
    }
    clear(&going)
}

fn clear(path: &Path) -> Result<(), String> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_once_and_removed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(FOLDER);
        make(&home.join("v")).unwrap();
        fs::write(home.join("v/data"), "kept").unwrap();
        make(&home.join("v")).unwrap();
        assert_eq!(fs::read_to_string(home.join("v/data")).unwrap(), "kept");
        // A removal that was cut short, and the volume made again since.
        fs::create_dir(home.join(".removed-v")).unwrap();
        fs::write(home.join(".removed-v/rest"), "").unwrap();
        remove(&home, "v").unwrap();
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
        remove(&home, "v").unwrap();
    }
}
