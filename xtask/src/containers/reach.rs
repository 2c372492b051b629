//! What can be reached from outside: the published port, and nothing else.
//!
//! "Outside" is whoever has an address of the machine, and every other container network. The machine's own root can reach
//! every container; no engine hinders it.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::stack::{PROJECT, Stack};
use super::stand_ins::BASE;

/// Every port on which something listens inside: clients, metrics, NATS, PostgreSQL, S3 and what belongs to them.
const PORTS: [u16; 12] = [4222, 5432, 6222, 8080, 8222, 8333, 8888, 9090, 9091, 9092, 9333, 18333];

pub(super) fn only_the_door(stack: &Stack<'_>) -> Result<()> {
    published(stack)?;
    let addresses = addresses(stack)?;
    // From where they should answer, they do: the same question, asked inside, shows that it finds open ports.
    let inside = open(stack, &format!("{PROJECT}_bus"), &addresses)?;
    if !inside.iter().any(|open| open.ends_with(":4222")) {
        bail!("not even NATS answers on its own network, so the question proves nothing: {inside:?}")
    }
    let network = format!("{PROJECT}-outside");
    stack.engine.run("docker network").args(["network", "create", &network]).output()?;
    let outside = open(stack, &network, &addresses);
    stack.engine.run("docker network").args(["network", "rm", &network]).output()?;
    let outside = outside?;
    println!("   {} ports answer inside, {} from another network", inside.len(), outside.len());
    if outside.is_empty() { Ok(()) } else { bail!("these answer from another network: {outside:?}") }
}

/// Of all containers, one port is published: the door's, and where it was asked for.
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

/// The containers' addresses on all their networks.
fn addresses(stack: &Stack<'_>) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for container in stack.containers(&[])? {
        let found = stack.inspect(&container, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}")?;
        all.extend(found.split_whitespace().map(str::to_owned));
    }
    Ok(all)
}

/// Which of all ports can be connected to from a container on this network, all asked at once.
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
