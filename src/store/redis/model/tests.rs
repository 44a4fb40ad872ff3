use std::sync::{Arc, Mutex};

use super::super::link::stand_in::{Answer, StandIn};
use super::super::{Deployment, Keyspace, RedisStore, SignIns};
use super::*;
use crate::clock::{Clock, ManualClock, WallClock};
use crate::flow::HandleKey;
use crate::store::contract::{self, Time};
use crate::store::seal::{SealKeys, Sealer};
use crate::store::{Envelopes, MemoryStore, Store};

mod sign_ins_in_redis {
    use super::*;

    contract::suite!(make);

    fn make() -> (Store, Time) {
        super::make(SignIns::InRedis)
    }
}

mod sign_ins_in_handles {
    use super::*;

    contract::suite!(make);

    fn make() -> (Store, Time) {
        super::make(SignIns::InHandles)
    }
}

/// A server that answers at once.
struct Prompt {
    server: Mutex<Server>,
    clock: ManualClock,
}

impl StandIn for Prompt {
    fn answer(&self, call: Call) -> Answer {
        let now = self.clock.now().as_millis();
        let answer = self.server.lock().unwrap().run(now, &call);
        Box::pin(std::future::ready(answer))
    }
}

fn make(sign_ins: SignIns) -> (Store, Time) {
    let (clock, manual) = Clock::manual();
    let prompt = Prompt {
        server: Mutex::new(Server::new("aa", None)),
        clock: manual.clone(),
    };
    let deployment = Arc::new(Deployment::simulated(Arc::new(prompt), &clock));
    let settings = contract::settings();
    let key = HandleKey::for_upstream("test");
    let keys = SealKeys::of(&[("a", [1; 32])]);
    let sealer = Sealer::new(keys, "test", "https://login.example");
    let envelopes = Envelopes::new(key.clone(), sealer, WallClock::Manual(manual.clone()));
    let memory = Arc::new(MemoryStore::new(&settings, key, clock));
    let keyspace = Keyspace::new(deployment, "pkce-gate", "test");
    let store = RedisStore::new(&settings, envelopes, sign_ins, keyspace, memory);
    (Store::Redis(Box::new(store)), manual.into())
}
