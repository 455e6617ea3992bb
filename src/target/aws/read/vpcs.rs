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

/// What an answer says of VPCs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vpcs {
    /// In the order of the answer.
    pub vpcs: Vec<VpcBlocks>,
    /// Whether every page of it goes on at another (`NextToken`).
    pub goes_on: bool,
}

/// The VPCs of an answer, or of the pages of one; none where it is another document.
///
/// # Errors
/// [`ReadError`].
pub fn vpcs(text: &str) -> Result<Option<Vpcs>, ReadError> {
    let json = json::parse(text)?;
    let root = Node::root(&json);
    let mut all = Vec::new();
    let (mut found, mut ended) = (false, false);
    let mut page = |node: &Node<'_>| -> Result<(), ReadError> {
        let Ok(fields) = node.object() else { return Ok(()) };
        let data = fields.get("data");
        let fields = match &data {
            Some(data) => data.object()?,
            None => fields,
        };
        let Some(list) = fields.get("Vpcs") else { return Ok(()) };
        found = true;
        ended |= fields.text("NextToken")?.is_none_or(|token| token.is_empty());
        all.extend(list.items(vpc)?);
        Ok(())
    };
    match &json {
        json::Json::List(_) => drop(root.items(&mut page)?),
        _ => page(&root)?,
    }
    Ok(found.then_some(Vpcs { vpcs: all, goes_on: !ended }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(all: &[&str]) -> Vec<IpNet> {
        all.iter().map(|net| net.parse().unwrap()).collect()
    }

    /// The blocks of both families, once each; what is not associated any more is none; a page of boto, and pages in a list.
    #[test]
    fn associated_blocks_are_told() {
        let one = r#"{ "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16", "State": "available",
            "CidrBlockAssociationSet": [
                { "CidrBlock": "10.0.0.0/16", "CidrBlockState": { "State": "associated" } },
                { "CidrBlock": "10.1.0.0/16", "CidrBlockState": { "State": "associating" } },
                { "CidrBlock": "10.2.0.0/16", "CidrBlockState": { "State": "disassociated" } } ],
            "Ipv6CidrBlockAssociationSet": [
                { "Ipv6CidrBlock": "2001:db8::/56", "Ipv6CidrBlockState": { "State": "associated" } },
                { "Ipv6CidrBlock": "2001:db8:1::/56", "Ipv6CidrBlockState": { "State": "failed" } } ] }"#;
        let blocks = nets(&["10.0.0.0/16", "10.1.0.0/16", "2001:db8::/56"]);
        let told = vec![VpcBlocks { id: "vpc-1".to_owned(), blocks }];
        let bare = format!(r#"{{ "Vpcs": [{one}] }}"#);
        let told = Vpcs { vpcs: told, goes_on: false };
        assert_eq!(vpcs(&bare), Ok(Some(told.clone())));
        assert_eq!(vpcs(&format!(r#"{{ "data": {bare} }}"#)), Ok(Some(told.clone())));
        assert_eq!(vpcs(&format!(r#"[{{ "Vpcs": [] }}, {bare}]"#)), Ok(Some(told)));
        assert_eq!(vpcs(r#"{ "Vpcs": [] }"#), Ok(Some(Vpcs::default())));
        let goes_on = Vpcs { goes_on: true, ..Vpcs::default() };
        assert_eq!(vpcs(r#"{ "Vpcs": [], "NextToken": "t" }"#), Ok(Some(goes_on)));
    }

    /// Another document is none, and a VPC that EC2 could not have told is an error at its place.
    #[test]
    fn what_is_no_answer_is_said() {
        assert_eq!(vpcs(r#"{ "SecurityGroups": [] }"#), Ok(None));
        for (wrong, place) in [
            (r#"{ "Vpcs": [{ "CidrBlock": "10.0.0.0/16" }] }"#, "Vpcs"),
            (r#"{ "Vpcs": [{ "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/33" }] }"#, "CidrBlock"),
            (r#"{ "Vpcs": [{ "VpcId": "vpc-1", "CidrBlock": 10 }] }"#, "CidrBlock"),
            (
                r#"{ "Vpcs": [{ "VpcId": "vpc-1", "CidrBlockAssociationSet": {} }] }"#,
                "CidrBlockAssociationSet",
            ),
            (r#"{ "Vpcs": "#, ""),
        ] {
            let why = vpcs(wrong).unwrap_err().to_string();
            assert!(why.contains(place), "{wrong}: {why}");
        }
    }
}
