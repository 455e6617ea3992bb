//! What `describe-vpcs` says of the blocks of a VPC: groups do not depend on it, a policy that is made of them does.

use ipnet::IpNet;

use super::super::artifact::cidr;
use super::node::{Fields, Node};
use super::{ReadError, Why, json};

/// The blocks of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VpcBlocks {
    /// `VpcId`.
    pub id: String,
    /// Its networks of both families, those that are not associated any more left out; ascending.
    pub blocks: Vec<IpNet>,
}

/// The VPCs of an answer, or of the pages of one; none where it is another document.
///
/// # Errors
/// [`ReadError`].
pub fn vpcs(text: &str) -> Result<Option<Vec<VpcBlocks>>, ReadError> {
    let json = json::parse(text)?;
    let root = Node::root(&json);
    let mut all = Vec::new();
    let mut found = false;
    let mut page = |node: &Node<'_>| -> Result<(), ReadError> {
        let Ok(fields) = node.object() else { return Ok(()) };
        let data = fields.get("data");
        let list = match &data {
            Some(data) => data.object()?.get("Vpcs").map(|list| list.items(vpc)).transpose()?,
            None => fields.get("Vpcs").map(|list| list.items(vpc)).transpose()?,
        };
        found |= list.is_some();
        all.extend(list.unwrap_or_default());
        Ok(())
    };
    match &json {
        json::Json::List(_) => drop(root.items(&mut page)?),
        _ => page(&root)?,
    }
    Ok(found.then_some(all))
}

fn vpc(node: &Node<'_>) -> Result<VpcBlocks, ReadError> {
    let fields = node.object()?;
    let mut blocks = block(&fields, "CidrBlock", "CidrBlockState")?;
    for (list, key, state) in [
        ("CidrBlockAssociationSet", "CidrBlock", "CidrBlockState"),
        ("Ipv6CidrBlockAssociationSet", "Ipv6CidrBlock", "Ipv6CidrBlockState"),
    ] {
        for nets in fields.list(list, |item| block(&item.object()?, key, state))?.unwrap_or_default() {
            blocks.extend(nets);
        }
    }
    blocks.sort();
    blocks.dedup();
    Ok(VpcBlocks { id: fields.need_text("VpcId")?, blocks })
}

/// A network, unless its association has ended.
fn block(fields: &Fields<'_>, key: &str, state: &str) -> Result<Vec<IpNet>, ReadError> {
    let Some(node) = fields.get(key) else { return Ok(Vec::new()) };
    let state = fields.get(state).map(|node| node.object()?.text("State")).transpose()?.flatten();
    if state.is_some_and(|state| state != "associated" && state != "associating") {
        return Ok(Vec::new());
    }
    match cidr(node.text()?) {
        Ok((net, _)) => Ok(vec![net]),
        Err(fault) => Err(node.error(Why::Fault(fault))),
    }
}
