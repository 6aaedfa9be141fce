"""Who a customer is: providers are asked, their answers are weighed together, and what follows is recorded."""
