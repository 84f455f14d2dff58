//! Own kind, own reconciler, memory backend: no server, no cluster.
//!
//! A `Greeting` says whom to greet; the loop writes what was said into its status. `cargo run -p orc-examples --bin own_kind`

use async_trait::async_trait;
use kube::CustomResource;
use orc_core::{ApiError, ObjectKey, env::System};
use orc_reconcile::{CacheSource, CancellationToken, Controller, Next, Reconciler, service};
use orc_store::{Api, Env, LocalClient, Store};
use std::sync::Arc;

#[derive(CustomResource, serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
#[kube(group = "example.com", version = "v1", kind = "Greeting", namespaced, status = "Said", schema = "disabled")]
struct GreetingSpec {
    whom: String,
}

#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default, PartialEq)]
struct Said {
    text: String,
}

struct Greeter(Env);

#[async_trait]
impl Reconciler for Greeter {
    type Error = ApiError;
    async fn reconcile(&self, key: ObjectKey) -> Result<Next, ApiError> {
        let Some(greeting) = self.0.caches.typed::<Greeting>().get(&key) else { return Ok(Next::Done) };
        let said = Some(Said { text: format!("Hello, {}!", greeting.spec.whom) });
        if greeting.status != said {
            let api = Api::<Greeting>::namespaced(self.0.client.clone(), key.namespace_str());
            api.modify_status(&key.name, |greeting| greeting.status = said.clone()).await?;
        }
        Ok(Next::Done)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ApiError> {
    let system = System::real();
    let env = Env::new(Arc::new(LocalClient::new(Store::in_memory(&system).await, &system)), &system);
    let cache = env.caches.typed::<Greeting>().cache().clone();
    let controller = Controller::new("greeter", &env, service(Greeter(env.clone()))).source(CacheSource::keys(cache));
    let _running = env.spawn.spawn(controller.run(CancellationToken::new()));

    let api = Api::<Greeting>::namespaced(env.client.clone(), "default");
    api.create(&Greeting::new("world", GreetingSpec { whom: "world".into() })).await?;
    while api.get("world").await?.status.is_none() {
        tokio::task::yield_now().await;
    }
    println!("{}", api.get("world").await?.status.clone().unwrap_or_default().text);
    Ok(())
}
