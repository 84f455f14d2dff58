//! The service network as addresses of this machine.

use std::net::Ipv4Addr;

use orc_core::env::Spawner;

use crate::plane::RouteError;

/// Makes every address of a network one of this machine's own, so that cluster addresses can be bound (a local route on the
/// loopback interface). Needs the right to change routes in this network namespace; repeating it changes nothing.
///
/// # Errors
/// When the kernel refuses.
pub async fn claim_network(base: Ipv4Addr, bits: u8) -> Result<(), RouteError> {
    use futures::TryStreamExt as _;
    use rtnetlink::packet_route::route::{RouteScope, RouteType};
    let refuse = |error: &dyn std::fmt::Display| RouteError::Network(error.to_string());
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| refuse(&e))?;
    let _connection = Spawner::new().spawn(connection);
    let mut links = handle.link().get().match_name("lo".to_owned()).execute();
    let lo =
        links.try_next().await.map_err(|e| refuse(&e))?.ok_or_else(|| refuse(&"there is no loopback interface"))?;
    let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(base, bits)
        .output_interface(lo.header.index)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .table_id(255)
        .build();
    match handle.route().add(route).replace().execute().await {
        Err(error) => Err(refuse(&error)),
        Ok(()) => Ok(()),
    }
}
