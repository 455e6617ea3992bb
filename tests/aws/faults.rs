//! What no answer may say: refused, each with its place.

use fwc::target::aws::read;

fn group(rest: &str) -> String {
    format!(r#"{{"SecurityGroups":[{{"GroupId":"sg-1","IpPermissionsEgress":[],{rest}}}]}}"#)
}

fn permission(rest: &str) -> String {
    group(&format!(r#""IpPermissions":[{{{rest}}}]"#))
}

#[test]
fn refused_with_a_place() {
    let web = r#""IpProtocol":"tcp","FromPort":80,"ToPort":80"#;
    let cases: Vec<(String, &str)> = vec![
        (permission(&format!(r#"{web},"Negate":true"#)), "SecurityGroups[0].IpPermissions[0]: the key `Negate` is not known, and may change the meaning"),
        (permission(&format!(r#"{web},"IpRanges":[{{"CidrIp":"10.0.0.0/8","Except":"10.1.0.0/16"}}]"#)), "SecurityGroups[0].IpPermissions[0].IpRanges[0]: the key `Except` is not known, and may change the meaning"),
        (group(r#""IpPermissions":[],"IpPermissionsDeny":[]"#), "SecurityGroups[0]: the key `IpPermissionsDeny` is not known, and may change the meaning"),
        (permission(&format!(r#"{web},"IpRanges":[{{"CidrIp":"10.0.0.0"}}]"#)), "SecurityGroups[0].IpPermissions[0].IpRanges[0].CidrIp: `10.0.0.0` is no network: no mask"),
        (permission(&format!(r#"{web},"IpRanges":[{{"CidrIp":"::/0"}}]"#)), "SecurityGroups[0].IpPermissions[0].IpRanges[0].CidrIp: `::/0` is no network: an IPv6 network where one of IPv4 belongs"),
        (permission(&format!(r#"{web},"IpRanges":[{{"CidrIp":"10.0.0.0/08"}}]"#)), "SecurityGroups[0].IpPermissions[0].IpRanges[0].CidrIp: `10.0.0.0/08` is no network: the mask is no number of bits"),
        (permission(&format!(r#"{web},"UserIdGroupPairs":[{{"GroupName":"web"}}]"#)), "SecurityGroups[0].IpPermissions[0].UserIdGroupPairs[0]: GroupId is missing"),
        (permission(r#""IpProtocol":"tcp","FromPort":90,"ToPort":80"#), "SecurityGroups[0].IpPermissions[0]: the ports 90-80 are backwards"),
        (permission(r#""IpProtocol":"tcp","FromPort":80,"ToPort":65536"#), "SecurityGroups[0].IpPermissions[0]: 65536 is no port"),
        (permission(r#""IpProtocol":"tcp","FromPort":80.5,"ToPort":81"#), "SecurityGroups[0].IpPermissions[0].FromPort: this should be a whole number"),
        (permission(r#""IpProtocol":true,"FromPort":80,"ToPort":81"#), "SecurityGroups[0].IpPermissions[0].IpProtocol: this should be a text"),
        (permission(r#""IpProtocol":"sctp""#), "SecurityGroups[0].IpPermissions[0]: unknown protocol `sctp`: EC2 has the names tcp, udp, icmp, icmpv6, numbers up to 255, and -1"),
        (permission(r#""FromPort":80,"ToPort":80"#), "SecurityGroups[0].IpPermissions[0]: IpProtocol is missing"),
        (r#"{"SecurityGroups":[{"GroupId":""}]}"#.to_owned(), "SecurityGroups[0].GroupId: the id is empty"),
        (r#"{"SecurityGroups":[null]}"#.to_owned(), "SecurityGroups[0]: this should be an object"),
        (r#"{"SecurityGroups":{}}"#.to_owned(), "SecurityGroups: this should be a list"),
        (r#"{"SecurityGroups":[],"NetworkAcls":[]}"#.to_owned(), "the document: more than one answer in a document"),
        (r#"{"Reservations":[]}"#.to_owned(), "the document: no answer that is known: expected one of SecurityGroups, SecurityGroupRules, NetworkInterfaces, PrefixLists, Entries, NetworkAcls"),
        (r#"{"SecurityGroups":[],"Extra":1}"#.to_owned(), "the document: the key `Extra` is not known, and may change the meaning"),
        (r#"{"SecurityGroups":[],"SecurityGroups":[]}"#.to_owned(), "the document: the key `SecurityGroups` stands twice in one object at line 1 column 41"),
        (r#"{"SecurityGroupRules":[{"GroupId":"sg-1","IsEgress":false,"IpProtocol":"-1","CidrIpv4":"10.0.0.0/8","PrefixListId":"pl-1"}]}"#.to_owned(), "SecurityGroupRules[0]: several sources or destinations where one belongs"),
        (r#"{"SecurityGroupRules":[{"GroupId":"sg-1","IsEgress":false,"IpProtocol":"-1"}]}"#.to_owned(), "SecurityGroupRules[0]: the rule names no source or destination"),
        (r#"{"SecurityGroupRules":[{"GroupId":"sg-1","IpProtocol":"-1","CidrIpv4":"10.0.0.0/8"}]}"#.to_owned(), "SecurityGroupRules[0]: IsEgress is missing"),
        (r#"{"NetworkInterfaces":[{"NetworkInterfaceId":"eni-1","Groups":[{}]}]}"#.to_owned(), "NetworkInterfaces[0].Groups[0]: GroupId is missing"),
        (r#"{"NetworkInterfaces":[{"NetworkInterfaceId":"eni-1","Groups":[],"PrivateIpAddress":"10.0.0.300"}]}"#.to_owned(), "NetworkInterfaces[0].PrivateIpAddress: `10.0.0.300` is no address"),
        (r#"{"NetworkInterfaces":[{"NetworkInterfaceId":"eni-1","Groups":[],"Filters":[]}]}"#.to_owned(), "NetworkInterfaces[0]: the key `Filters` is not known, and may change the meaning"),
        (r#"{"NetworkInterfaces":[{"NetworkInterfaceId":"eni-1","Groups":[],"PrivateIpAddress":"10.0.0.3","PrivateIpAddresses":[{"PrivateIpAddress":"10.0.0.3","Association":{"PublicIp":"203.0.113.10"}}],"Association":{"PublicIp":"203.8.113.10"}}]}"#.to_owned(), "NetworkInterfaces[0].Association: 10.0.0.3 has two public addresses, 203.0.113.10 and 203.8.113.10"),
        (r#"{"NetworkAcls":[{"NetworkAclId":"acl-1","Entries":[{"RuleNumber":0,"Protocol":"-1","RuleAction":"allow","Egress":false,"CidrBlock":"0.0.0.0/0"}]}]}"#.to_owned(), "NetworkAcls[0].Entries[0]: 0 is no rule number: people have 1 to 32766"),
        (r#"{"NetworkAcls":[{"NetworkAclId":"acl-1","Entries":[{"RuleNumber":1,"Protocol":"-1","RuleAction":"log","Egress":false,"CidrBlock":"0.0.0.0/0"}]}]}"#.to_owned(), "NetworkAcls[0].Entries[0]: `log` is neither allow nor deny"),
        (r#"{"NetworkAcls":[{"NetworkAclId":"acl-1"}]}"#.to_owned(), "NetworkAcls[0]: Entries is missing"),
        (r#"{"PrefixLists":[{"PrefixListId":"pl-1","MaxEntries":1001}]}"#.to_owned(), "PrefixLists[0].MaxEntries: MaxEntries is 1001, not 0 to 1000"),
        (r#"{"PrefixLists":[{"PrefixListId":"pl-1","AddressFamily":"IPv5"}]}"#.to_owned(), "PrefixLists[0].AddressFamily: this should be IPv4 or IPv6"),
        (r#"{"status_code":200,"data":{"SecurityGroups":[]},"more":1}"#.to_owned(), "the document: the key `more` is not known, and may change the meaning"),
        (r#"{"data":{"Error":{"Code":"UnauthorizedOperation","Message":"no"}}}"#.to_owned(), "data.Error: EC2 answered with the error `UnauthorizedOperation`"),
        ("[]".to_owned(), "the document: this should be an object"),
        ("{\"SecurityGroups\":[]} x".to_owned(), "the document: trailing characters at line 1 column 23"),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let said = read::read(&text).map_or_else(|why| why.to_string(), |_| "read".to_owned());
        if said != expected {
            wrong.push(format!("{text}\n    says {said}\n    not  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
