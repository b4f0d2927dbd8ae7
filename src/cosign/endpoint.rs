//! Where witnesses are asked: each address once, however many keys are behind it.

use core::time::Duration;

use crate::{
    client::{ClientError, Server, WitnessClient, server::Tls},
    core::trust::TrustPolicy,
};

/// An address, and the witnesses behind it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    client: WitnessClient,
    /// Positions in the policy.
    witnesses: Vec<usize>,
    /// The names of the witnesses in the policy, for log lines and metrics.
    names: Vec<String>,
}

impl Endpoint {
    /// Returns the client of the address.
    pub(super) fn client(&self) -> &WitnessClient {
        &self.client
    }

    /// Returns the witnesses behind it, by their position in the policy.
    pub(super) fn witnesses(&self) -> &[usize] {
        &self.witnesses
    }

    /// Returns their names in the policy.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// Returns where the witnesses of a policy are asked, in the order of the policy. Witnesses without an
/// address come by themselves.
pub fn endpoints(
    trust: &TrustPolicy,
    tls: &Tls,
    timeout: Duration,
) -> Result<Vec<Endpoint>, ClientError> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (position, witness) in trust.witnesses().iter().enumerate() {
        let Some(url) = &witness.url else { continue };
        let server = Server::parse(url)?.with_tls(tls.clone());
        let name = witness.name.clone();
        match endpoints.iter_mut().find(|known| known.client.prefix() == server.url()) {
            Some(known) => {
                known.witnesses.push(position);
                known.names.push(name);
            }
            None => endpoints.push(Endpoint {
                client: WitnessClient::new(&server, timeout)?,
                witnesses: vec![position],
                names: vec![name],
            }),
        }
    }
    Ok(endpoints)
}
