//! `hostPort`: a listener in the host's network whose connections are copied to the pod.
//!
//! Copied in this process, so the pod sees the node's address as the client's, and while orc is down the port is closed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::ProcessRuntime;
use crate::rootless::HostPorts;
use crate::runtime::{PortMapping, Protocol, RuntimeError, SandboxConfig};

/// Open host ports of one pod. Dropping it closes them.
#[derive(Default)]
pub(super) struct OpenPorts(Vec<JoinHandle<()>>);

impl Drop for OpenPorts {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl OpenPorts {
    /// Closes them and returns when they can be opened again.
    pub(super) async fn close(mut self) {
        for task in std::mem::take(&mut self.0) {
            task.abort();
            // Cancelled, as asked.
            let _ = task.await;
        }
    }
}

fn address(mapping: &PortMapping) -> Result<SocketAddr, RuntimeError> {
    let ip = if mapping.host_ip.is_empty() { Ok(Ipv4Addr::UNSPECIFIED.into()) } else { mapping.host_ip.parse() };
    let ip: IpAddr =
        ip.map_err(|_| RuntimeError::Sandbox(format!("hostIP {:?} is not an address", mapping.host_ip)))?;
    Ok(SocketAddr::new(ip, mapping.host_port))
}

async fn open(ports: &HostPorts, mapping: &PortMapping, pod: IpAddr) -> Result<JoinHandle<()>, RuntimeError> {
    if mapping.protocol != Protocol::Tcp {
        return Err(RuntimeError::Sandbox(format!(
            "hostPort {} cannot be served: the process runtime carries TCP only, not {:?}",
            mapping.host_port, mapping.protocol
        )));
    }
    let at = address(mapping)?;
    let failed = |error| RuntimeError::Sandbox(format!("hostPort {at}: {error}"));
    let listener = ports.listen_tcp(at).await.map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let to = SocketAddr::new(pod, mapping.container_port);
    Ok(tokio::spawn(carry(listener, to)))
}

/// Accepts until aborted; open connections end with the pod, not with the listener.
async fn carry(listener: TcpListener, to: SocketAddr) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            // Out of descriptors: others will close some.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        tokio::spawn(async move {
            if let Ok(mut pod) = TcpStream::connect(to).await {
                // An error is one side's end of the connection; both are closed then.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut pod).await;
            }
        });
    }
}

impl ProcessRuntime {
    /// Opens a pod's host ports. With the host's network the pod opens them itself.
    pub(super) async fn open_ports(
        &self,
        config: &SandboxConfig,
        pod: Option<IpAddr>,
    ) -> Result<OpenPorts, RuntimeError> {
        let mut open_ports = OpenPorts::default();
        if let Some(pod) = pod {
            for mapping in config.port_mappings.iter().filter(|mapping| mapping.host_port != 0) {
                open_ports.0.push(open(&self.inner.config.host_ports, mapping, pod).await?);
            }
        }
        Ok(open_ports)
    }
}
