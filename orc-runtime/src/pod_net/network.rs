//! The bridge, and plugging pods into it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::names::InstanceId;
use super::netlink::{failed, with_netlink};
use super::pool::Cidr;

/// The network of one cluster instance on this host. Shared by the runtimes of all its nodes.
#[derive(Debug)]
pub struct Network {
    instance: InstanceId,
}

impl Network {
    /// Makes the bridge, or finds it, and lets packets through. Works in the process' own network namespace.
    ///
    /// # Errors
    /// What the kernel said; `PermissionDenied` without the right to administer this network namespace.
    pub async fn start(instance: InstanceId) -> io::Result<Self> {
        let (name, mac) = (instance.bridge(), instance.bridge_mac());
        with_netlink(
            None,
            Box::new(move |handle| {
                Box::pin(async move {
                    raise(&handle, "lo").await?;
                    if index(&handle, &name).await?.is_some() {
                        return Ok(());
                    }
                    let bridge = LinkBridge::new(&name).address(mac).build();
                    handle.link().add(bridge).execute().await.map_err(failed("create the pod bridge"))
                })
            }),
        )
        .await?;
        forward()?;
        Ok(Self { instance })
    }

    /// The instance that this network belongs to.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Name of the bridge, for rules that match it.
    pub fn bridge_name(&self) -> String {
        self.instance.bridge()
    }

    /// Puts a node's gateway address on the bridge.
    pub async fn add_range(&self, range: Cidr) -> io::Result<()> {
        let name = self.instance.bridge();
        with_netlink(
            None,
            Box::new(move |handle| {
                Box::pin(async move {
                    let bridge = index(&handle, &name).await?.ok_or_else(|| missing(&name))?;
                    add_address(&handle, bridge, range.gateway(), range.prefix()).await
                })
            }),
        )
        .await
    }

    /// Gives the namespace an interface `eth0` with the address and a default route over the range's gateway.
    /// Whatever an earlier attempt left for the same sandbox is replaced.
    pub(crate) async fn plug(
        &self,
        sandbox: &str,
        namespace: OwnedFd,
        address: Ipv4Addr,
        range: Cidr,
    ) -> io::Result<()> {
        self.unplug(sandbox).await?;
        let (bridge, link) = (self.instance.bridge(), self.instance.link(sandbox));
        let inside = namespace.try_clone()?;
        with_netlink(
            None,
            Box::new(move |handle| Box::pin(async move { make_pair(&handle, &bridge, &link, &namespace).await })),
        )
        .await?;
        with_netlink(
            Some(inside),
            Box::new(move |handle| Box::pin(async move { configure(&handle, address, range).await })),
        )
        .await
    }

    /// Removes a pod's link; none is fine.
    pub(crate) async fn unplug(&self, sandbox: &str) -> io::Result<()> {
        let link = self.instance.link(sandbox);
        with_netlink(None, Box::new(move |handle| Box::pin(async move { delete(&handle, &link).await }))).await
    }

    /// Removes the bridge: the cluster is gone for good.
    pub async fn remove(&self) -> io::Result<()> {
        let name = self.instance.bridge();
        with_netlink(None, Box::new(move |handle| Box::pin(async move { delete(&handle, &name).await }))).await
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("interface {name} is gone"))
}

async fn index(handle: &Handle, name: &str) -> io::Result<Option<u32>> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await {
        Ok(found) => Ok(found.map(|link| link.header.index)),
        Err(error) => match failed("look up an interface")(error) {
            error if error.kind() == io::ErrorKind::NotFound || error.to_string().contains("os error 19") => Ok(None),
            error => Err(error),
        },
    }
}

async fn raise(handle: &Handle, name: &str) -> io::Result<()> {
    let link = index(handle, name).await?.ok_or_else(|| missing(name))?;
    let up = LinkUnspec::new_with_index(link).up().build();
    handle.link().change(up).execute().await.map_err(failed("bring an interface up"))
}

async fn add_address(handle: &Handle, link: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    handle.address().add(link, address.into(), prefix).replace().execute().await.map_err(failed("add an address"))
}

async fn delete(handle: &Handle, name: &str) -> io::Result<()> {
    match index(handle, name).await? {
        None => Ok(()),
        Some(link) => handle.link().del(link).execute().await.map_err(failed("delete an interface")),
    }
}

async fn make_pair(handle: &Handle, bridge: &str, link: &str, namespace: &OwnedFd) -> io::Result<()> {
    let bridge = index(handle, bridge).await?.ok_or_else(|| missing(bridge))?;
    let peer = LinkUnspec::new_with_name("eth0").setns_by_fd(namespace.as_raw_fd()).build();
    let pair = LinkVeth::new(link, "eth0").set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
    handle.link().add(pair.build()).execute().await.map_err(failed("create the pod's link"))?;
    let host = index(handle, link).await?.ok_or_else(|| missing(link))?;
    let plugged = LinkUnspec::new_with_index(host).controller(bridge).up().build();
    handle.link().change(plugged).execute().await.map_err(failed("plug the pod into the bridge"))
}

async fn configure(handle: &Handle, address: Ipv4Addr, range: Cidr) -> io::Result<()> {
    raise(handle, "lo").await?;
    raise(handle, "eth0").await?;
    let link = index(handle, "eth0").await?.ok_or_else(|| missing("eth0"))?;
    add_address(handle, link, address, range.prefix()).await?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(range.gateway()).output_interface(link).build();
    handle.route().add(route).replace().execute().await.map_err(failed("add the pod's default route"))
}

/// Lets this namespace pass packets on, which pods of different ranges and services need.
fn forward() -> io::Result<()> {
    let path = "/proc/sys/net/ipv4/ip_forward";
    if std::fs::read_to_string(path)?.trim() == "1" {
        return Ok(());
    }
    std::fs::write(path, "1").map_err(|e| io::Error::new(e.kind(), format!("write {path}: {e}")))
}
