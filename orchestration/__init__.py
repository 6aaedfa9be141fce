"""What starts work: definitions, jobs, schedules, automation policies, sensors, resources."""
