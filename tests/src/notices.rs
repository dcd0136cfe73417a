//! What people would be told: an SQS queue subscribed to the topic, read by all tests of a deployment together.

use std::{sync::Mutex, time::Duration};

use serde_json::{Value, json};

use crate::{api::Endpoint, until};

/// A queue that receives what is published to a topic.
#[derive(Debug)]
pub struct Inbox {
    endpoint: Endpoint,
    queue: String,
    received: Mutex<Vec<Published>>,
}

/// A message as SNS hands it to a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The subject.
    pub subject: String,
    /// The message.
    pub message: String,
    /// The attributes' values by name.
    pub attributes: Value,
}

impl Inbox {
    /// Makes a queue and subscribes it to the topic.
    pub async fn subscribe(endpoint: &Endpoint, topic: &str) -> Self {
        let name = format!("{}-inbox", topic.rsplit(':').next().unwrap_or_default());
        let created = endpoint.json("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": name})).await;
        let queue = created["QueueUrl"].as_str().expect("a queue has a URL").to_owned();
        let wanted = json!({"QueueUrl": queue, "AttributeNames": ["QueueArn"]});
        let attributes = endpoint.json("sqs", "AmazonSQS.GetQueueAttributes", &wanted).await;
        let arn = attributes["Attributes"]["QueueArn"].as_str().expect("a queue has an ARN");
        let subscribing = endpoint.sns().subscribe().topic_arn(topic).protocol("sqs").endpoint(arn);
        subscribing.send().await.expect("the queue can be subscribed");
        Self { endpoint: endpoint.clone(), queue, received: Mutex::default() }
    }

    /// Waits for a notice whose message contains the text.
    pub async fn about(&self, text: &str) -> Published {
        let what = format!("a notice about {text}");
        until(&what, Duration::from_secs(30), async || {
            self.receive().await;
            self.so_far(text).pop()
        })
        .await
    }

    /// The notices received so far whose message contains the text.
    pub fn so_far(&self, text: &str) -> Vec<Published> {
        let received = self.received.lock().unwrap();
        received.iter().filter(|published| published.message.contains(text)).cloned().collect()
    }

    /// Takes what waits in the queue.
    pub async fn receive(&self) {
        for message in self.endpoint.take_messages(&self.queue).await {
            let envelope: Value =
                serde_json::from_str(message["Body"].as_str().unwrap_or_default()).expect("SNS wraps messages in JSON");
            let mut attributes = serde_json::Map::new();
            for (name, attribute) in envelope["MessageAttributes"].as_object().into_iter().flatten() {
                attributes.insert(name.clone(), attribute["Value"].clone());
            }
            self.received.lock().unwrap().push(Published {
                subject: envelope["Subject"].as_str().unwrap_or_default().to_owned(),
                message: envelope["Message"].as_str().unwrap_or_default().to_owned(),
                attributes: attributes.into(),
            });
        }
    }
}
