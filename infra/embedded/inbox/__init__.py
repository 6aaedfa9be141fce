"""A local inbox that stands for webhook receivers, SendGrid, Twilio and PagerDuty, and shows what arrived."""
