//! Checks that only the published port is reachable from outside.
//!
//! "Outside" means the machine's addresses and every other container network. The machine's root can reach every container.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::stack::{PROJECT, Stack};
use super::stand_ins::BASE;

/// Every port that a container listens on: clients, metrics, NATS, PostgreSQL, S3 and others.
const PORTS: [u16; 12] = [4222, 5432, 6222, 8080, 8222, 8333, 8888, 9090, 9091, 9092, 9333, 18333];

pub(super) fn only_the_published_port(stack: &Stack<'_>) -> Result<()> {
    published(stack)?;
    let addresses = addresses(stack)?;
    // The same probe from inside finds open ports, which proves that the probe works.
    let inside = open(stack, &format!("{PROJECT}_bus"), &addresses)?;
    if !inside.iter().any(|open| open.ends_with(":4222")) {
        bail!("NATS does not answer on its own network, so the probe proves nothing: {inside:?}")
    }
    let network = format!("{PROJECT}-outside");
    stack.engine.run("docker network").args(["network", "create", &network]).output()?;
    let outside = open(stack, &network, &addresses);
    stack.engine.run("docker network").args(["network", "rm", &network]).output()?;
    let outside = outside?;
    println!("   {} ports answer inside, {} from another network", inside.len(), outside.len());
    if outside.is_empty() { Ok(()) } else { bail!("these answer from another network: {outside:?}") }
}

/// Checks that the containers publish one port: the proxy's, at the requested address.
fn published(stack: &Stack<'_>) -> Result<()> {
    let format = "{{range $port, $on := .NetworkSettings.Ports}}{{range $on}}{{.HostIp}}:{{.HostPort}} {{end}}{{end}}";
    let mut all = Vec::new();
    for container in stack.containers(&[])? {
        let ports = stack.inspect(&container, format)?;
        all.extend(ports.split_whitespace().map(|port| format!("{} {port}", container.service)));
    }
    let wanted = format!("edge 127.0.0.1:{}", stack.port);
    if all == [wanted.clone()] { Ok(()) } else { bail!("published are {all:?}, and should be {wanted} alone") }
}

/// The addresses of the containers on all networks.
fn addresses(stack: &Stack<'_>) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for container in stack.containers(&[])? {
        let found = stack.inspect(&container, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}")?;
        all.extend(found.split_whitespace().map(str::to_owned));
    }
    Ok(all)
}

/// The ports that a container on this network can connect to, probed in parallel.
fn open(stack: &Stack<'_>, network: &str, addresses: &BTreeSet<String>) -> Result<Vec<String>> {
    let ports = PORTS.map(|port| port.to_string()).join(" ");
    let addresses = addresses.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let ask = format!(
        "for a in {addresses}; do for p in {ports}; do \
         (timeout 3 bash -c \"exec 3<>/dev/tcp/$a/$p\" 2>/dev/null && echo $a:$p) & done; done; wait"
    );
    let run = stack.engine.run("docker run").args(["run", "--rm", "--network", network, BASE, "bash", "-c", &ask]);
    Ok(run.output()?.lines().map(str::to_owned).collect())
}
