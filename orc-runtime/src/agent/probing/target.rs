//! Where a probe connects to.

use std::io;

use k8s_openapi::api::core::v1::{Container, PodStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

/// The host that the probe names, else the pod's address.
pub(super) fn host(set: Option<&str>, status: &PodStatus) -> Result<String, String> {
    let host = set.filter(|host| !host.is_empty()).or(status.pod_ip.as_deref());
    host.map(str::to_owned).ok_or_else(|| "the pod has no address yet".to_owned())
}

/// A port by number, or by the name that the container gives it.
pub(super) fn port(port: &IntOrString, spec: &Container) -> Result<u16, String> {
    let name = match port {
        IntOrString::Int(number) => return self::number(*number),
        IntOrString::String(name) => name,
    };
    let named = spec.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
    match named {
        Some(port) => number(port.container_port),
        None => number(name.parse().map_err(|_| format!("couldn't find port: {name:?}"))?),
    }
}

/// A number that can be a port.
pub(super) fn number(number: i32) -> Result<u16, String> {
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A TCP connection; what failed is told as Go's `net` does.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let failed = |error: io::Error| format!("dial tcp {}: connect: {}", authority(host, port), words(&error));
    TcpStream::connect((host, port)).await.map_err(failed)
}

/// The system's words for an error, without its number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
