"""Stands between the tests and tools of others: a JSON object a line in, one out.

{"do": "params", "op": "create-security-group", "input": {...}}   botocore's ParamValidator
{"do": "fresh", "vpcs": {"vpc-1": false}}                         an empty moto, with VPCs (true: with IPv6)
{"do": "call", "op": ..., "bind": "sg:web", "input": {...}}       a call through boto3; `${sg:web}` in later inputs is what it made
{"do": "describe"}                                                what moto describes, in the shapes of the CLI

The moto server listens on loopback, on a port of its own choice, and ends with this process.
"""

import json
import logging
import os
import sys

os.environ.update(
    AWS_ACCESS_KEY_ID="none",
    AWS_SECRET_ACCESS_KEY="none",
    AWS_DEFAULT_REGION="eu-central-1",
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE="/nonexistent",
    AWS_SHARED_CREDENTIALS_FILE="/nonexistent",
)
logging.disable(logging.CRITICAL)

import boto3  # noqa: E402
import botocore.session  # noqa: E402
from botocore import xform_name  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from botocore.parsers import ResponseParserError  # noqa: E402
from botocore.validate import ParamValidator  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

MODEL = botocore.session.get_session().get_service_model("ec2")
OPERATIONS = {xform_name(name, "-"): name for name in MODEL.operation_names}


class Peer:
    def __init__(self):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        config = Config(retries={"total_max_attempts": 1}, read_timeout=600, connect_timeout=600)
        self.ec2 = boto3.client("ec2", endpoint_url=self.url, config=config)
        self.names = {}

    def params(self, op, input):
        shape = MODEL.operation_model(OPERATIONS[op]).input_shape
        report = ParamValidator().validate(input, shape)
        return {"error": report.generate_report()} if report.has_errors() else {}

    def fresh(self, vpcs):
        import urllib.request

        urllib.request.urlopen(urllib.request.Request(self.url + "/moto-api/reset", method="POST")).read()
        self.names, made = {}, {}
        for name, six in vpcs.items():
            vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=six)
            made[name] = vpc["Vpc"]["VpcId"]
        return {"vpcs": made}

    def call(self, op, input, bind=None):
        method = getattr(self.ec2, xform_name(OPERATIONS[op]))
        try:
            answer = method(**self.named(input))
        except ClientError as why:
            return {
                "refused": why.response["Error"]["Code"],
                "status": why.response["ResponseMetadata"]["HTTPStatusCode"],
                "message": why.response["Error"].get("Message", ""),
            }
        except ResponseParserError:
            # An HTTP 500 with a page for people.
            return {"refused": "no answer", "status": 500, "message": ""}
        if bind is not None:
            made = answer.get("GroupId") or answer["PrefixList"]["PrefixListId"]
            self.names["${%s}" % bind] = made
        answer.pop("ResponseMetadata", None)
        return {"answer": answer}

    def named(self, value):
        if isinstance(value, dict):
            return {key: self.named(of) for key, of in value.items()}
        if isinstance(value, list):
            return [self.named(of) for of in value]
        return self.names.get(value, value) if isinstance(value, str) else value

    def all(self, op, key, **more):
        return [item for page in self.ec2.get_paginator(op).paginate(**more) for item in page[key]]

    def describe(self):
        lists = self.all("describe_managed_prefix_lists", "PrefixLists")
        entries = {
            of["PrefixListId"]: self.all(
                "get_managed_prefix_list_entries", "Entries", PrefixListId=of["PrefixListId"]
            )
            for of in lists
            if of.get("OwnerId") != "AWS"
        }
        return {
            "names": self.names,
            "SecurityGroups": self.all("describe_security_groups", "SecurityGroups"),
            "SecurityGroupRules": self.all("describe_security_group_rules", "SecurityGroupRules"),
            "PrefixLists": lists,
            "Entries": entries,
        }


def main():
    peer = Peer()
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(peer, asked.pop("do"))(**asked)
        print(json.dumps(answer, default=str), flush=True)


main()
