"""What a trial costs, as seen from outside its process."""
