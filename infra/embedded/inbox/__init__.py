"""A local inbox that speaks the contracts of webhook receivers, SendGrid and Twilio, and shows what arrived."""
