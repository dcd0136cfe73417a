"""What the checks take as right: seeded faults show what they find, and this that they find no more."""

import unittest

from finding import Finding, Suppression, divided, matches
from own.policy import covers
from own.schedules import mistake
from resolve import Resolver, choose, conditions
from source import Source


class Schedules(unittest.TestCase):
    def test_what_aws_takes_is_right(self):
        for text in (
            "rate(1 minute)", "rate(5 minutes)", "rate(12 hours)", "rate(1 day)", "cron(0/5 * * * ? *)", "cron(0 10 * * ? *)",
            "cron(15 12 ? * MON-FRI *)", "cron(0 8 1 * ? *)", "cron(0 9 ? * 2#1 *)", "cron(0 0 L * ? *)", "cron(0 0 3W * ? 2030)",
            "cron(30 9,17 ? JAN,JUL 6L 2026-2030)", "at(2026-11-22T03:00:00)",
        ):  # fmt: skip
            self.assertIsNone(mistake(text, scheduler=True), text)

    def test_what_aws_refuses_is_wrong(self):
        for text in (
            "rate(0 minutes)", "rate(1 minutes)", "rate(5 minute)", "rate(1.5 hours)", "rate(5 weeks)", "every minute",
            "cron(* * * * *)", "cron(60 * * * ? *)", "cron(* 24 * * ? *)", "cron(* * 1 * 2 *)", "cron(* * ? * ? *)",
            "cron(* * 0 * ? *)", "cron(* * ? 13 1 *)", "cron(* * ? * 8 *)", "cron(* * ? * FRI-MON *)", "cron(*/0 * * * ? *)",
            "at(2026-11-31T03:00:00)", "at(2026-11-22 03:00)",
        ):  # fmt: skip
            self.assertIsNotNone(mistake(text, scheduler=True), text)

    def test_rules_know_no_moments(self):
        self.assertIsNotNone(mistake("at(2026-11-22T03:00:00)", scheduler=False))


class Resolving(unittest.TestCase):
    template = {
        "Parameters": {"Key": {"Type": "String"}, "Subnets": {"Type": "CommaDelimitedList"}, "Mode": {"Type": "String"}},
        "Mappings": {"Modes": {"slow": {"On": "true"}, "fast": {"On": "false"}}},
        "Conditions": {
            "HasKey": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Key"}, ""]}]},
            "HasSubnets": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Subnets"}]}, ""]}]},
            "IsSlow": {"Fn::Equals": [{"Fn::FindInMap": ["Modes", {"Ref": "Mode"}, "On"]}, "true"]},
            "Both": {"Fn::And": [{"Condition": "HasKey"}, {"Condition": "HasSubnets"}]},
        },
        "Resources": {
            "Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "KmsMasterKeyId": {"Fn::If": ["HasKey", {"Ref": "Key"}, {"Ref": "AWS::NoValue"}]},
                    "Subnets": {"Ref": "Subnets"},
                    "Tags": [{"Fn::Sub": "${Queue.Arn}/${!kept}/${AWS::Region}"}, {"Fn::GetAtt": ["Nothing", "Arn"]}],
                },
            },
            "Keyed": {"Type": "AWS::SNS::Topic", "Condition": "HasKey"},
        },
    }

    def test_conditions_are_worked_out(self):
        values = conditions(self.template, {"Key": "k", "Subnets": "a,b", "Mode": "slow"})
        self.assertEqual(values, {"HasKey": True, "HasSubnets": True, "IsSlow": True, "Both": True})
        values = conditions(self.template, {"Key": "", "Subnets": "a", "Mode": "fast"})
        self.assertEqual(values, {"HasKey": False, "HasSubnets": True, "IsSlow": False, "Both": False})

    def test_what_is_not_made_is_left_out(self):
        chosen = choose(self.template, {"Key": "", "Subnets": "", "Mode": "fast"})
        self.assertEqual(list(chosen["Resources"]), ["Queue"])
        self.assertNotIn("KmsMasterKeyId", chosen["Resources"]["Queue"]["Properties"])

    def test_references_become_names(self):
        parameters = {"Key": "k", "Subnets": "a,b", "Mode": "slow"}
        properties = Resolver(choose(self.template, parameters), parameters).resources()["Queue"]["Properties"]
        self.assertEqual((properties["KmsMasterKeyId"], properties["Subnets"]), ("k", ["a", "b"]))
        arn = "arn:aws:sqs:us-east-1:123456789012:Queue/${kept}/us-east-1"
        self.assertEqual(properties["Tags"], [arn, "unresolved:Nothing.Arn"])

    def test_a_function_that_is_not_known_is_named(self):
        template = {"Conditions": {"Odd": {"Fn::Equals": [{"Fn::ImportValue": "x"}, ""]}}}
        with self.assertRaisesRegex(ValueError, "Fn::ImportValue"):
            conditions(template, {})


class Reading(unittest.TestCase):
    text = "Resources:\n  Role:\n    Statement:\n      # Why.\n      - Action: a\n      - Action: b\n      # Of the next.\n      - Action: c # why\n      - Action: d\n"

    def test_a_comment_above_or_within_counts(self):
        source = Source(self.text)
        statements = source.node(("Resources", "Role", "Statement")).value
        self.assertEqual([source.commented(node) for node in statements], [True, False, True, False])

    def test_a_translated_resource_is_found_where_it_is_written(self):
        source = Source(self.text)
        self.assertEqual(source.line(("Resources", "RoleAliaslive", "Properties", "Name")), 2)
        self.assertEqual(source.line(("Resources", "Role", "Statement", 1, "Action")), 6)

    def test_patterns_of_iam(self):
        self.assertTrue(covers("arn:aws:s3:::b/*", "arn:aws:s3:::b/a/b"))
        self.assertTrue(covers("s3:Get?bject", "s3:GetObject"))
        self.assertFalse(covers("arn:aws:s3:::b/a.c", "arn:aws:s3:::b/abc"))


class Suppressing(unittest.TestCase):
    def test_percent_alone_stands_for_any_text(self):
        self.assertTrue(matches("IAM5[Resource::<%Bucket.Arn>/%]", "IAM5[Resource::<WorkBucket.Arn>/runs/*]"))
        self.assertFalse(matches("IAM5[Resource::*]", "IAM5[Resource::everything]"))

    def test_an_entry_of_a_variant_covers_no_other_and_is_told_when_unused(self):
        entry = Suppression("own", "tls", "%", "because the test says so", variant="defaults")
        found = Finding("own", "tls", "Lake", "open", (), ("defaults", "everything"))
        self.assertEqual(divided([found], [entry]), ([found], [entry]))
        found = Finding("own", "tls", "Lake", "open", (), ("defaults",))
        self.assertEqual(divided([found], [entry]), ([], []))


if __name__ == "__main__":
    unittest.main()
